//! ocf:rust:drbd-watch as Pacemaker calls it.

fn main() {
    drbd_watch::main()
}
