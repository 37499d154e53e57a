//! The daemon that ocf:rust:drbd-watch supervises.

fn main() {
    drbd_watch::daemon()
}
