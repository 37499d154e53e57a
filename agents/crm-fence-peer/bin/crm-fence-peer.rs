//! DRBD's handlers under Pacemaker, as drbdadm calls them: by the name.

fn main() {
    crm_fence_peer::main()
}
