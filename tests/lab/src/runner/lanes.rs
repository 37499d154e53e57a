//! Several labs at once: most of a scenario is waiting for timers, and two of them share two processors well, with one of
//! containers, which hardly needs any, beside them. Invariant: what each scenario finds is the same as in one lane; what needs the
//! machine for itself runs when everything else is over.

use super::Group;
use crate::failure::{Failure, Result};
use crate::place::Place;
use crate::report::Row;
use crate::scenario::{self, Scenario};
use crate::topology::{Settings, Topology};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many scenarios share a cluster at most, where another lane could do something meanwhile.
const BATCH: usize = 7;

/// Runs them in so many lanes, and in one more for containers where there are machines too; the rows of the
/// table come back in their order, failures among them.
pub(crate) fn run(
    place: &Place,
    settings: &Settings,
    scenarios: &[Scenario],
    lanes: usize,
    tell: &mut (dyn FnMut(&str) + Send),
) -> Result<Vec<Row>> {
    if lanes < 2 {
        return super::run(place, settings, scenarios, tell);
    }
    let kinds = [Topology::Machines, Topology::Containers];
    let both =
        kinds.iter().all(|kind| scenarios.iter().any(|one| one.topology == *kind && !one.alone));
    let places: Vec<Place> = (1..=lanes + usize::from(both))
        .map(|n| if n == 1 { place.clone() } else { place.lane(n) })
        .collect();
    let _locks = places[1..].iter().map(Place::lock).collect::<Result<Vec<_>>>()?;
    let (alone, together): (Vec<&Scenario>, Vec<&Scenario>) =
        scenarios.iter().partition(|scenario| scenario.alone);
    // The last ones take longest, and what is short fills the end.
    let waiting = Mutex::new(batches(&together).into_iter().rev().collect::<VecDeque<_>>());
    let tell = Mutex::new(tell);
    let lane = |number: usize, place: &Place| -> Result<Vec<Row>> {
        let only = (number > lanes).then_some(Topology::Containers);
        let mut say = |line: &str| {
            let mut tell = tell.lock().unwrap_or_else(PoisonError::into_inner);
            tell(&format!("[{number}] {line}"));
        };
        let mut rows = Vec::new();
        loop {
            let next = {
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                next_for(only, &mut waiting)
            };
            let Some(batch) = next else { return Ok(rows) };
            rows.extend(super::run(place, settings, &batch, &mut say)?);
        }
    };
    let lane = &lane;
    let mut rows = thread::scope(|scope| {
        let running: Vec<_> = places
            .iter()
            .enumerate()
            .map(|(index, place)| scope.spawn(move || lane(index + 1, place)))
            .collect();
        let ended = running.into_iter().map(|thread| {
            thread.join().unwrap_or_else(|_| Err(Failure::broken("A lane of the lab panicked")))
        });
        ended.collect::<Vec<_>>().into_iter().collect::<Result<Vec<_>>>()
    })?
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    let alone: Vec<Scenario> = alone.into_iter().cloned().collect();
    let mut say = |line: &str| tell.lock().unwrap_or_else(PoisonError::into_inner)(line);
    rows.extend(super::run(place, settings, &alone, &mut say)?);
    let place_of: BTreeMap<String, usize> =
        scenarios.iter().enumerate().map(|(at, one)| (scenario::full_name(one), at)).collect();
    rows.sort_by_key(|row| place_of.get(row.name()).copied());
    Ok(rows)
}

/// The next batch that a lane may take.
fn next_for(
    only: Option<Topology>,
    waiting: &mut VecDeque<Vec<Scenario>>,
) -> Option<Vec<Scenario>> {
    let fits = |batch: &Vec<Scenario>| only.is_none_or(|only| batch[0].topology == only);
    waiting.iter().position(fits).and_then(|at| waiting.remove(at))
}

/// What is run in one go: scenarios that share a cluster, in their order.
fn batches(scenarios: &[&Scenario]) -> VecDeque<Vec<Scenario>> {
    let mut batches: VecDeque<Vec<Scenario>> = VecDeque::new();
    for &scenario in scenarios {
        match batches.back_mut() {
            Some(batch)
                if batch.last().is_some_and(|last| Group::of(last) == Group::of(scenario))
                    && (batch.len() < BATCH || scenario.takes_over) =>
            {
                batch.push(scenario.clone());
            }
            _ => batches.push_back(vec![scenario.clone()]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_in_one_batch_in_its_order() {
        let all = scenario::all();
        let refs: Vec<&Scenario> = all.iter().collect();
        let again: Vec<String> =
            batches(&refs).into_iter().flatten().map(|one| scenario::full_name(&one)).collect();
        let wanted: Vec<String> = all.iter().map(scenario::full_name).collect();
        assert_eq!(again, wanted);
    }

    #[test]
    fn a_lane_for_containers_takes_no_machines_and_the_others_take_what_is_left() {
        let all = scenario::all();
        let refs: Vec<&Scenario> = all.iter().collect();
        let mut waiting: VecDeque<_> = batches(&refs).into_iter().rev().collect();
        assert_eq!(waiting[0][0].topology, Topology::Machines, "the dearest are first");
        let mut taken = 0;
        while let Some(batch) = next_for(Some(Topology::Containers), &mut waiting) {
            assert!(batch.iter().all(|one| one.topology == Topology::Containers));
            taken += batch.len();
        }
        let containers = all.iter().filter(|one| one.topology == Topology::Containers).count();
        assert!(taken > 20 && taken == containers, "{taken} of {containers}");
        let mut others = 0;
        while let Some(batch) = next_for(None, &mut waiting) {
            others += batch.len();
        }
        assert_eq!(taken + others, all.len());
    }

    #[test]
    fn a_batch_shares_a_cluster_and_none_begins_with_what_another_left() {
        let all = scenario::all();
        let refs: Vec<&Scenario> = all.iter().collect();
        let batches = batches(&refs);
        assert!(batches.len() > 8, "{}", batches.len());
        for batch in batches {
            assert!(!batch[0].takes_over || batch[0].bare, "{}", batch[0].name);
            assert!(batch.iter().all(|one| Group::of(one) == Group::of(&batch[0])));
            assert!(batch.iter().skip(BATCH).all(|one| one.takes_over), "{}", batch[0].name);
        }
    }
}
