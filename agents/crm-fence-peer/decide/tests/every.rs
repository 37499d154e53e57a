//! Every value that a fact of a case can have, and their product.

use super::*;

pub(super) const EVERY_OWN: [Own; 10] = [
    Own::U,
    Own::C,
    Own::Bad,
    Own::UandC,
    Own::UandBad,
    Own::CandBad,
    Own::Client,
    Own::ClientAndU,
    Own::ClientAndBad,
    Own::None,
];
pub(super) const EVERY_LINK: [Link; 7] = [
    Link::Gone,
    Link::Behind,
    Link::Good,
    Link::GoodPrimary,
    Link::ClientHere,
    Link::ClientGone,
    Link::Ghost,
];
pub(super) const EVERY_FATE: [Fate; 9] = [
    Fate::Unasked,
    Fate::Answers,
    Fate::Mute,
    Fate::Down,
    Fate::Will,
    Fate::Offline,
    Fate::NotSeen,
    Fate::Nameless,
    Fate::Missing,
];
pub(super) const EVERY_IS: [Is; 3] = [Is::Secondary, Is::Primary, Is::Frozen];
pub(super) const EVERY_BAN: [Ban; 9] = [
    Ban::No,
    Ban::Me,
    Ban::Loud,
    Ban::MeAndPeer,
    Ban::MeAndThird,
    Ban::Everybody,
    Ban::MeAndStranger,
    Ban::PeerOnly,
    Ban::Nobody,
];
pub(super) const EVERY_CALL: [Call; 10] = [
    Call::Nine,
    Call::NineAll,
    Call::NineAlone,
    Call::NineWithoutMe,
    Call::NineWithoutMask,
    Call::MaskOnly,
    Call::Stranger,
    Call::Myself,
    Call::Eight,
    Call::NineWhoever,
];
pub(super) const EVERY_POLICY: [Option<Policy>; 4] =
    [None, Some(Policy::ResourceOnly), Some(Policy::ResourceAndStonith), Some(Policy::NotKnown)];
pub(super) const EVERY_DID: [Did; 11] = [
    Did::Nothing,
    Did::Waited,
    Did::Placed(Code::PeerBanned),
    Did::Placed(Code::PeerUnreachable),
    Did::Placed(Code::PeerDown),
    Did::Placed(Code::NotFenced),
    Did::PlacedForOperator,
    Did::Tightened,
    Did::Conflicts,
    Did::Failed(1),
    Did::Failed(2),
];
pub(super) const EVERY_WITH: [With; 6] =
    [With::Nothing, With::Thaw, With::Cts, With::Operator, With::Hickup, With::Suicide];
pub(super) const BOTH: [bool; 2] = [false, true];

/// Every combination of these values.
macro_rules! product {
    ($case:ident: $($field:ident in $values:expr),+ ; $body:block) => {
        product!(@ $case, $body, $($field in $values),+)
    };
    (@ $case:ident, $body:block, $field:ident in $values:expr $(, $more:ident in $rest:expr)*) => {
        for $field in $values {
            $case.$field = $field;
            product!(@ $case, $body, $($more in $rest),*);
        }
    };
    (@ $case:ident, $body:block,) => { $body };
}
pub(super) use product;
