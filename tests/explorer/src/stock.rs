//! What the stock handlers would have said instead. Invariant: without a switch nothing is overruled.

use crate::{
    project::Verdict,
    state::{Change, Disk, Handler, has, one},
    world::World,
};

/// The verdict under this world's rules.
#[must_use]
pub fn overrule(
    world: &World,
    node: usize,
    peer: usize,
    handler: &Handler,
    ours: Verdict,
) -> Verdict {
    let Some(rule) = handler.cib.rule else { return ours };
    let is_fence = node != peer;
    let mask = handler.mask.unwrap_or(one(node));
    let stock = &world.stock;
    if stock.fails_on_tighter && is_fence && matches!(ours, Verdict::Done(4 | 5 | 7)) {
        // Nothing to remove from it, and it is not what the mask says: an empty difference, "couldn't parse input".
        let is_tighter = rule & !mask == 0 && rule != mask && has(rule, node);
        if is_tighter && handler.memory.placed.is_none() {
            return Verdict::Done(1);
        }
    }
    if stock.lets_all_vouch
        && !is_fence
        && let Verdict::Do(Change::Write { allowed, placed }) = ours
    {
        let allowed = allowed | rule;
        return match allowed == rule {
            true => Verdict::Done(0),
            false => Verdict::Do(Change::Write { allowed, placed }),
        };
    }
    if stock.trusts_mask && !is_fence && handler.kernel.disk == Disk::UpToDate {
        let others = world.all() & !one(node);
        let all_good = others & !(handler.kernel.connected & handler.kernel.good) == 0;
        if !all_good && has(rule, node) && handler.mask.is_some() {
            return match mask == rule {
                true => Verdict::Done(0),
                false => Verdict::Do(Change::Write { allowed: mask, placed: Some((0, false)) }),
            };
        }
    }
    ours
}
