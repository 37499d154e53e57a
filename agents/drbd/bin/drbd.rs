//! ocf:rust:drbd as Pacemaker calls it.

fn main() {
    drbd_agent::main()
}
