//! What must have been executed, and what must not, where programs were chosen. Pure. Invariant: a place that was not
//! looked at all the time is a breach, since nothing can be claimed of it.

use crate::programs::Programs;
use duet_report::{Executed, Looked, Whose};

/// The slot of [`Programs`] that a file belongs to, by where it is and what it is called.
fn slot(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next()?;
    match name {
        "VirtualDomain" | "VirtualDomain-libvirt" => Some("VirtualDomain"),
        "drbd" if path.contains("/ocf/resource.d/") => Some("drbd"),
        "drbd-watch" | "drbd-watchd" | "drbd-attr" => Some("drbd-watch"),
        "fence_xvm" | "fence_virt" => Some("fence_xvm"),
        "fence_virtd" => Some("fence_virtd"),
        // All of DRBD's handlers are one package of ours.
        _ if path.contains("/lib/drbd/") => Some("crm-fence-peer"),
        _ if name.starts_with("crm-fence-peer") || name.starts_with("crm-unfence-peer") => {
            Some("crm-fence-peer")
        }
        _ => None,
    }
}

/// Something that must have been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Duty {
    /// In which place; `None` for any.
    pub(crate) place: Option<&'static str>,
    pub(crate) slot: &'static str,
    /// By which name, where it has several.
    pub(crate) called: Option<&'static str>,
}

/// Whose program must have filled a slot.
fn wanted(programs: &Programs, slot: &str) -> Whose {
    if programs.is_ours(slot) { Whose::Ours } else { Whose::Stock }
}

fn word(whose: Whose) -> &'static str {
    match whose {
        Whose::Ours => "ours",
        Whose::Stock => "stock",
    }
}

/// What is not as it was chosen, in words; nothing if all is.
pub(crate) fn breaches(executed: &Executed, programs: &Programs, duties: &[Duty]) -> Vec<String> {
    let mut all = Vec::new();
    for place in &executed.places {
        match &place.looked {
            Looked::Whole => {}
            Looked::Partly(why) | Looked::Not(why) => {
                all.push(format!("nobody knows all that was executed in {}: {why}", place.name));
            }
        }
        for (program, times) in &place.programs {
            let Some(slot) = slot(&program.path) else { continue };
            if program.whose != wanted(programs, slot) {
                all.push(format!(
                    "{} executed {} {times} times, which is {}, and {slot} is to be {}",
                    place.name,
                    program.path,
                    word(program.whose),
                    word(wanted(programs, slot)),
                ));
            }
        }
    }
    for duty in duties {
        let places =
            executed.places.iter().filter(|place| duty.place.is_none_or(|name| name == place.name));
        let done = places.flat_map(|place| place.programs.keys()).any(|program| {
            let own = program.path.rsplit('/').next();
            let name = program.called.as_deref().or(own);
            slot(&program.path) == Some(duty.slot)
                && program.whose == wanted(programs, duty.slot)
                && duty.called.is_none_or(|called| name == Some(called))
        });
        if !done {
            let place = duty.place.unwrap_or("any node");
            let called = duty.called.unwrap_or(duty.slot);
            all.push(format!("{called} was not executed in {place}"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use duet_report::{Place, Program};
    use std::collections::BTreeMap;

    fn executed(rows: &[(&str, &str, Option<&str>, Whose)]) -> Executed {
        let mut places: Vec<Place> = Vec::new();
        for (name, path, called, whose) in rows {
            let called = called.map(str::to_owned);
            let program = Program { path: (*path).to_owned(), called, whose: *whose };
            match places.iter_mut().find(|place| place.name == *name) {
                Some(place) => {
                    place.programs.insert(program, 1);
                }
                None => places.push(Place {
                    name: (*name).to_owned(),
                    looked: Looked::Whole,
                    programs: BTreeMap::from([(program, 1)]),
                }),
            }
        }
        Executed { places }
    }

    fn duty(place: Option<&'static str>, slot: &'static str) -> Duty {
        Duty { place, slot, called: None }
    }

    const AGENT: &str = "/usr/lib/ocf/resource.d/rust/VirtualDomain";
    const STOCK: &str = "/usr/lib/ocf/resource.d/heartbeat/VirtualDomain";

    #[test]
    fn ours_alone_is_no_breach() {
        let seen = executed(&[
            ("node1", AGENT, None, Whose::Ours),
            ("node1", "/usr/lib/ocf/resource.d/heartbeat/Dummy", None, Whose::Stock),
            ("host", "/usr/sbin/fence_virtd", None, Whose::Ours),
        ]);
        let duties = [duty(Some("node1"), "VirtualDomain"), duty(Some("host"), "fence_virtd")];
        assert_eq!(breaches(&seen, &Programs::wished("").unwrap(), &duties), [""; 0]);
    }

    #[test]
    fn a_stock_program_where_ours_was_chosen_is_found_under_any_name() {
        let programs = Programs::wished("").unwrap();
        for path in [
            STOCK,
            "/usr/lib/ocf/resource.d/linbit/drbd",
            "/usr/lib/drbd/crm-fence-peer.9.sh",
            "/usr/lib/drbd/crm-unfence-peer.sh",
            "/usr/sbin/fence_xvm",
            "/usr/sbin/fence_virtd",
            // Under our own path: the content decides.
            AGENT,
        ] {
            let seen = executed(&[("node1", path, None, Whose::Stock)]);
            assert_eq!(breaches(&seen, &programs, &[]).len(), 1, "{path}");
        }
    }

    #[test]
    fn the_choice_of_stock_is_held_to_as_well() {
        let programs = Programs::wished("VirtualDomain=stock").unwrap();
        let duties = [duty(Some("node1"), "VirtualDomain")];
        let stock = executed(&[("node1", STOCK, None, Whose::Stock)]);
        assert_eq!(breaches(&stock, &programs, &duties), [""; 0]);
        let ours = executed(&[("node1", AGENT, None, Whose::Ours)]);
        assert_eq!(breaches(&ours, &programs, &duties).len(), 2);
    }

    #[test]
    fn what_must_have_been_executed_is_missed_by_place_and_name() {
        let programs = Programs::wished("").unwrap();
        let handler = "/usr/lib/drbd/crm-fence-peer";
        let unfence =
            Duty { place: None, slot: "crm-fence-peer", called: Some("crm-unfence-peer") };
        let fenced = executed(&[("node2", handler, None, Whose::Ours)]);
        assert_eq!(breaches(&fenced, &programs, &[unfence]).len(), 1);
        let both = executed(&[("node2", handler, Some("crm-unfence-peer"), Whose::Ours)]);
        assert_eq!(breaches(&both, &programs, &[unfence]), [""; 0]);
        let elsewhere = duty(Some("node1"), "crm-fence-peer");
        assert_eq!(breaches(&both, &programs, &[elsewhere]).len(), 1);
    }

    #[test]
    fn nothing_is_claimed_of_a_place_that_was_not_looked_at() {
        let place = Place {
            name: "node1".to_owned(),
            looked: Looked::Not("no fanotify".to_owned()),
            programs: BTreeMap::new(),
        };
        let programs = Programs::wished("").unwrap();
        assert_eq!(breaches(&Executed { places: vec![place] }, &programs, &[]).len(), 1);
    }
}
