//! Patches, carried out as Pacemaker would on the rule itself: what becomes of it for every pair of rules.

use super::*;
use crate::{Cib, FencingAttribute, Role, RuleName};
use proptest::prelude::*;

const NODES: [&str; 4] = ["alpha", "beta", "gamma", "Delta"];

fn rule(allowed: &[(FencingAttribute, String, String)]) -> FenceRule {
    let allowed = allowed.iter().cloned();
    let allowed = allowed.map(|(attribute, value, id)| Allowed { id, attribute, value });
    FenceRule {
        id: "p-r0-c".to_owned(),
        clone: "c".to_owned(),
        rule_id: "p-r0-rule-c".to_owned(),
        role: Role::Master,
        allowed: allowed.collect(),
    }
}

fn cib(rule: Option<&FenceRule>) -> Cib {
    let constraint = rule.map(FenceRule::to_xml).unwrap_or_default();
    let text = format!(
        r#"<cib admin_epoch="1" epoch="41" num_updates="7"><configuration><crm_config/><nodes/><resources/>
        <constraints><rsc_order id="other" first="a" then="b"/>{constraint}</constraints></configuration><status/></cib>"#
    );
    Cib::parse(&text).unwrap()
}

/// The rule after the patch; `None` if it is gone.
fn after(found: Option<&FenceRule>, patch: &Patch) -> Option<FenceRule> {
    let mut rule = found.cloned();
    for change in &patch.changes {
        match change {
            Change::Place(placed) => assert!(rule.replace(placed.clone()).is_none()),
            Change::Remove { rule: id } => {
                assert_eq!(rule.take().unwrap().id, *id);
            }
            Change::Allow { rule: id, inside, allowed } => {
                let rule = rule.as_mut().unwrap();
                assert_eq!((&rule.id, &rule.rule_id), (id, inside));
                rule.allowed.push(allowed.clone());
            }
            Change::Ban { rule: id, inside, expression } => {
                let rule = rule.as_mut().unwrap();
                assert_eq!((&rule.id, &rule.rule_id), (id, inside));
                let before = rule.allowed.len();
                rule.allowed.retain(|allowed| allowed.id != *expression);
                assert_eq!(rule.allowed.len() + 1, before, "one, and only one");
            }
        }
    }
    rule
}

fn is_valid(rule: &FenceRule) -> bool {
    let ids: BTreeSet<_> = rule.allowed.iter().map(|allowed| &allowed.id).collect();
    ids.len() == rule.allowed.len() && !rule.allowed.is_empty()
}

fn some_rule() -> impl Strategy<Value = FenceRule> {
    let attribute = prop_oneof![Just("#uname"), Just("site")];
    let value = (proptest::sample::select(&NODES[..]), any::<bool>())
        .prop_map(|(name, upper)| if upper { name.to_uppercase() } else { name.to_owned() });
    let one = (attribute, value).prop_map(|(name, value)| (FencingAttribute::parse(name), value));
    (proptest::collection::vec(one, 1..6), 0..3_usize).prop_map(|(pairs, from)| {
        let ids = (from..).map(|number| format!("p-r0-expr-{number}-c"));
        let allowed: Vec<_> = pairs.into_iter().zip(ids).map(|((a, v), id)| (a, v, id)).collect();
        rule(&allowed)
    })
}

proptest! {
    #[test]
    fn a_replaced_rule_means_what_was_wanted(found in some_rule(), wanted in some_rule()) {
        let cib = cib(Some(&found));
        match Patch::replace(&cib, &found, &wanted).unwrap() {
            None => prop_assert!(found.same_meaning(&wanted)),
            Some(patch) => {
                prop_assert!(!found.same_meaning(&wanted));
                let after = after(Some(&found), &patch).unwrap();
                prop_assert!(after.same_meaning(&wanted), "{after:?}");
                prop_assert!(is_valid(&after), "{after:?}");
            }
        }
    }

    #[test]
    fn a_tightened_rule_allows_who_was_allowed_and_is_wanted(found in some_rule(), wanted in some_rule()) {
        let cib = cib(Some(&found));
        let both: BTreeSet<_> = found.meaning().intersection(&wanted.meaning()).cloned().collect();
        match Patch::tighten(&cib, &found, &wanted) {
            Err(error) => {
                prop_assert_eq!(error, PatchError::NobodyLeft(found.id.clone()));
                prop_assert!(both.is_empty());
            }
            Ok(None) => prop_assert_eq!(both, found.meaning()),
            Ok(Some(patch)) => {
                let after = after(Some(&found), &patch).unwrap();
                prop_assert_eq!(after.meaning(), both);
                prop_assert!(is_valid(&after), "{:?}", after);
            }
        }
    }
}

#[test]
fn a_patch_is_for_the_version_that_was_examined_and_the_next() {
    let found = rule(&[(FencingAttribute::Uname, "alpha".into(), "e".into())]);
    let patch = Patch::remove(&cib(Some(&found)), &found).unwrap();
    assert_eq!(
        (patch.examined.to_string(), patch.result.to_string()),
        ("1.41.7".into(), "1.42.0".into())
    );
    let text = patch.to_xml();
    assert!(text.contains(r#"<source admin_epoch="1" epoch="41" num_updates="7"/>"#), "{text}");
    assert!(text.contains(r#"<target admin_epoch="1" epoch="42" num_updates="0"/>"#), "{text}");
    assert_eq!(after(Some(&found), &patch), None);
    let placed = Patch::place(&cib(None), &found).unwrap();
    assert_eq!(after(None, &placed), Some(found));
}

#[test]
fn what_does_not_fit_the_cib_is_no_patch() {
    let found = rule(&[(FencingAttribute::Uname, "alpha".into(), "e".into())]);
    let there = || PatchError::AlreadyThere(found.id.clone());
    let not_there = || PatchError::NotThere(found.id.clone());
    assert_eq!(Patch::place(&cib(Some(&found)), &found), Err(there()));
    assert_eq!(Patch::remove(&cib(None), &found), Err(not_there()));
    assert_eq!(Patch::tighten(&cib(None), &found, &found), Err(not_there()));
    let nobody = FenceRule { allowed: Vec::new(), ..found.clone() };
    assert_eq!(Patch::place(&cib(None), &nobody), Err(PatchError::NobodyLeft(found.id.clone())));
    let at_the_end = Cib::parse(
        r#"<cib admin_epoch="1" epoch="2147483647" num_updates="7"><configuration><crm_config/><nodes/><resources/>
        <constraints/></configuration><status/></cib>"#,
    );
    let refused = Patch::place(&at_the_end.unwrap(), &found).unwrap_err();
    assert_eq!(refused.to_string(), "The CIB's version 1.2147483647.7 cannot be raised");
}

#[test]
fn an_id_that_a_path_cannot_name_is_refused() {
    for odd in ["", "a b", "a'b", "a/b", "a[b", "a]b", "a\nb"] {
        let one = rule(&[(FencingAttribute::Uname, "alpha".into(), odd.into())]);
        let wanted = rule(&[(FencingAttribute::Uname, "beta".into(), "e".into())]);
        let refused = Patch::replace(&cib(Some(&one)), &one, &wanted).unwrap_err();
        assert_eq!(refused, PatchError::Id(odd.to_owned()));
    }
    // A resource may be called so; the schema knows no such ids either.
    let name = RuleName::new("p", "a/b", "c");
    let slash =
        FenceRule { id: name.id(), ..rule(&[(FencingAttribute::Uname, "a".into(), "e".into())]) };
    assert_eq!(Patch::place(&cib(None), &slash), Err(PatchError::Id("p-a/b-c".to_owned())));
}
