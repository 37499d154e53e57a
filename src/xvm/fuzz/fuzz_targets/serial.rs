//! Any bytes on a serial line, for both ends, in two pieces; the first byte says where they are cut. Invariant: where they are cut makes no
//! difference, and what is kept is bounded.
#![no_main]

use duet_xvm::serial::{REQUEST, Replies, Requests};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [cut, bytes @ ..] = input else { return };
    let (now, later) = bytes.split_at(usize::from(*cut).min(bytes.len()));

    let (mut whole, mut pieces) = (Requests::default(), Requests::default());
    let found = whole.feed(bytes);
    let mut again = pieces.feed(now);
    again.extend(pieces.feed(later));
    assert_eq!(found, again);
    assert!(whole.pending() < REQUEST);

    let mut pieces = Replies::default();
    let again = match pieces.feed(now) {
        Ok(None) => pieces.feed(later),
        answered => answered,
    };
    assert_eq!(Replies::default().feed(bytes), again);
});
