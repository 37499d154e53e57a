//! How many exchanges there may be at once, and whose gives way. Invariant: a peer that has fewer than others is never refused because
//! of them.

use std::collections::HashMap;

use duet_xvm::Source;

/// Exchanges of all peers together.
pub(crate) const ALL: usize = 256;
/// Exchanges of one peer: twenty clients of one node at once, with copies from several of its addresses.
pub(crate) const ONE: usize = 48;
/// The same, where nobody has to sign: whoever asks can have an address called back that is not its own.
pub(crate) const UNSIGNED: usize = 8;

/// An exchange, as far as it counts here. They are in the order in which they began.
#[derive(Debug, Clone)]
pub(crate) struct Held<'a> {
    pub(crate) id: u64,
    pub(crate) peer: &'a Source,
    /// The peer has shown that it has the key, or does not need to, and waits for its answer.
    pub(crate) is_proven: bool,
}

/// Whether another one begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// When this one has ended.
    Evict(u64),
    Full,
}

/// Whether there is room for one more exchange of `peer`, of which `one` may have as many. One look at each: those who make it look most
/// often are the ones it is for.
pub(crate) fn room(held: &[Held<'_>], peer: &Source, all: usize, one: usize) -> Room {
    let mut count: HashMap<&Source, usize> = HashMap::new();
    for other in held {
        *count.entry(other.peer).or_default() += 1;
    }
    let of = |peer: &Source| count.get(peer).copied().unwrap_or(0);
    let own = of(peer);
    if own >= one {
        return oldest(held, |other| other.peer == peer);
    }
    if held.len() < all {
        return Room::Free;
    }
    // Who has most gives one of those that have not proven anything; of several, whose oldest is oldest.
    let unproven = held.iter().filter(|other| !other.is_proven);
    let most = unproven.map(|other| of(other.peer)).max().unwrap_or(0);
    if most < own { Room::Full } else { oldest(held, |other| of(other.peer) == most) }
}

fn oldest(held: &[Held<'_>], which: impl Fn(&Held<'_>) -> bool) -> Room {
    let found = held.iter().find(|other| !other.is_proven && which(other));
    found.map_or(Room::Full, |other| Room::Evict(other.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn peer(last: u8) -> Source {
        IpAddr::from([10, 0, 0, last]).into()
    }

    fn held<'a>(peers: &'a [(Source, bool)]) -> Vec<Held<'a>> {
        let ids = 1u64..;
        ids.zip(peers)
            .map(|(id, (peer, is_proven))| Held { id, peer, is_proven: *is_proven })
            .collect()
    }

    #[test]
    fn the_greediest_makes_room_for_who_has_less() {
        let peers = [(peer(1), false), (peer(2), false), (peer(2), false), (peer(3), true)];
        let held = held(&peers);
        assert_eq!(room(&held, &peer(9), 5, 9), Room::Free);
        assert_eq!(room(&held, &peer(9), 4, 9), Room::Evict(2));
        assert_eq!(room(&held, &peer(1), 4, 9), Room::Evict(2));
    }

    #[test]
    fn what_is_proven_never_gives_way() {
        let peers = [(peer(1), true), (peer(1), true), (peer(2), false)];
        assert_eq!(room(&held(&peers), &peer(9), 3, 9), Room::Evict(3));
        let peers = [(peer(1), true), (peer(2), true)];
        assert_eq!(room(&held(&peers), &peer(9), 2, 9), Room::Full);
    }

    #[test]
    fn one_peer_has_only_its_share_and_pays_with_its_own() {
        let peers = [(peer(1), true), (peer(1), false), (peer(2), false)];
        assert_eq!(room(&held(&peers), &peer(1), 99, 2), Room::Evict(2));
        let peers = [(peer(1), true), (peer(1), true)];
        assert_eq!(room(&held(&peers), &peer(1), 99, 2), Room::Full);
    }

    #[test]
    fn many_peers_with_one_each_give_way_oldest_first() {
        let peers: Vec<_> = (0..200).map(|last| (peer(last), false)).collect();
        assert_eq!(room(&held(&peers), &peer(250), 200, 9), Room::Evict(1));
    }
}
