//! Which clone runs a resource: through templates, references and groups, and by what the cluster would run.
#![allow(clippy::unwrap_used, reason = "test")]

mod made;

use duet_pacemaker::{Cib, CloneError};
use made::{Made, clone, primitive};

/// The clone's id, or what is wrong.
fn held(resources: &str, resource: &str) -> Result<String, String> {
    let cib = Made { resources: resources.to_owned(), ..Made::default() }.read();
    let found = cib.promotable_holding(resource, None);
    let again = Cib::parse(&cib.extract("")).unwrap();
    assert_eq!(again.promotable_holding(resource, None), found, "in the record");
    found.map_err(|error| error.to_string())
}

fn none(resource: &str, hint: &str) -> Result<String, String> {
    Err(format!("No promotable clone in the CIB runs the DRBD resource {resource:?}{hint}"))
}

fn nvset(kind: &str, id: &str, more: &str, name: &str, value: &str) -> String {
    format!(
        r#"<{kind} id="{id}" {more}><nvpair id="{id}-p" name="{name}" value="{value}"/></{kind}>"#
    )
}

#[test]
fn a_promotable_clone_or_a_master_is_found_by_the_resource_it_runs() {
    let r0 = primitive("p", "r0");
    assert_eq!(held(&clone("c", &r0), "r0"), Ok("c".to_owned()));
    assert_eq!(held(&clone("c", &r0), "r"), none("r", ""));
    assert_eq!(held(&clone("c", &r0), "R0"), none("R0", ""));
    assert_eq!(held(&format!("<master id='m'>{r0}</master>"), "r0"), Ok("m".to_owned()));
    assert_eq!(held(&format!("<clone id='c'>{r0}</clone>"), "r0"), none("r0", " (c is none)"));
    let not = clone("c", &r0).replace("\"true\"", "\"no\"");
    assert_eq!(held(&not, "r0"), none("r0", " (c is none)"));
    let yes = clone("c", &r0).replace("\"true\"", "\"YES\"");
    assert_eq!(held(&yes, "r0"), Ok("c".to_owned()));
    assert_eq!(held(&r0, "r0"), none("r0", ""));
    assert_eq!(held(&format!("<group id='g'>{r0}</group>"), "r0"), none("r0", ""));
    assert_eq!(held("", "r0"), none("r0", ""));
}

#[test]
fn a_group_in_a_clone_and_two_resources_in_one_clone_are_found() {
    let both = primitive("p", "r0") + &primitive("q", "r1");
    let grouped = clone("c", &format!("<group id='g'>{both}</group>"));
    for resource in ["r0", "r1"] {
        assert_eq!(held(&grouped, resource), Ok("c".to_owned()));
    }
}

#[test]
fn only_the_agent_of_drbd_counts_whoever_provides_it() {
    let other = |from: &str, to: &str| clone("c", &primitive("p", "r0").replace(from, to));
    assert_eq!(held(&other("linbit", "rust"), "r0"), Ok("c".to_owned()));
    assert_eq!(held(&other("\"drbd\"", "\"drbd-watch\""), "r0"), none("r0", ""));
    assert_eq!(held(&other("\"ocf\"", "\"lsb\""), "r0"), none("r0", ""));
    assert_eq!(held(&other("drbd_resource", "resource"), "r0"), none("r0", ""));
    let commented = clone("c", &format!("<!-- {} -->", primitive("p", "r0").replace("--", "")));
    assert_eq!(held(&commented, "r0"), none("r0", ""));
}

#[test]
fn two_clones_for_one_resource_are_an_error_that_names_them() {
    let two = clone("a", &primitive("p", "r0")) + &clone("b", &primitive("q", "r0"));
    assert_eq!(held(&two, "r0"), Err("The DRBD resource \"r0\" is in several clones: a, b".into()));
    // One that is not promotable does not compete.
    let other = format!("<clone id='b'>{}</clone>", primitive("q", "r0"));
    assert_eq!(held(&(clone("a", &primitive("p", "r0")) + &other), "r0"), Ok("a".to_owned()));
}

#[test]
fn a_template_gives_what_the_primitive_does_not_say() {
    let attributes = nvset("instance_attributes", "t-ia", "", "drbd_resource", "r0");
    let template = format!(
        r#"<template id="t" class="ocf" provider="linbit" type="drbd">{attributes}</template>"#
    );
    let of = |inside: &str| {
        clone("c", &format!(r#"<primitive id="p" template="t">{inside}</primitive>"#))
    };
    assert_eq!(held(&(template.clone() + &of("")), "r0"), Ok("c".to_owned()));
    assert_eq!(held(&(of("") + &template), "r0"), Ok("c".to_owned()));
    assert_eq!(held(&of(""), "r0"), none("r0", ""));
    let other = template.replace("\"drbd\"", "\"Dummy\"");
    assert_eq!(held(&(other + &of("")), "r0"), none("r0", ""));
    let own = of(&nvset("instance_attributes", "p-ia", "", "drbd_resource", "r1"));
    assert_eq!(held(&(template + &own), "r1"), Ok("c".to_owned()));
}

#[test]
fn references_to_sets_and_to_single_pairs_are_followed_once() {
    let set = nvset("instance_attributes", "elsewhere", "", "drbd_resource", "r0");
    let shared =
        format!(r#"<primitive id="d" class="ocf" provider="x" type="Dummy">{set}</primitive>"#);
    let drbd = |inside: &str| {
        clone(
            "c",
            &format!(
                r#"<primitive id="p" class="ocf" provider="linbit" type="drbd">{inside}</primitive>"#
            ),
        )
    };
    let by_set = drbd(r#"<instance_attributes id-ref="elsewhere"/>"#);
    assert_eq!(held(&(shared.clone() + &by_set), "r0"), Ok("c".to_owned()));
    let by_pair =
        drbd(r#"<instance_attributes id="i"><nvpair id-ref="elsewhere-p"/></instance_attributes>"#);
    assert_eq!(held(&(shared.clone() + &by_pair), "r0"), Ok("c".to_owned()));
    let renamed = drbd(
        r#"<instance_attributes id="i"><nvpair id-ref="elsewhere-p" name="other"/></instance_attributes>"#,
    );
    assert_eq!(held(&(shared + &renamed), "r0"), none("r0", ""));
    assert_eq!(held(&by_set, "r0"), none("r0", ""));
    let itself = drbd(
        r#"<instance_attributes id="i" id-ref="i"><nvpair id="n" id-ref="n"/></instance_attributes>"#,
    );
    assert_eq!(held(&itself, "r0"), none("r0", ""));
}

#[test]
fn an_attribute_of_the_group_or_clone_around_counts_where_there_is_none_of_its_own() {
    let bare = r#"<primitive id="p" class="ocf" provider="linbit" type="drbd"/>"#;
    let set = nvset("instance_attributes", "g-ia", "", "drbd_resource", "r0");
    assert_eq!(held(&clone("c", &(set.clone() + bare)), "r0"), Ok("c".to_owned()));
    let group = format!("<group id='g'>{set}{bare}</group>");
    assert_eq!(held(&clone("c", &group), "r0"), Ok("c".to_owned()));
    let own = group.replace(bare, &primitive("p", "r1"));
    assert_eq!(held(&clone("c", &own), "r0"), none("r0", ""));
}

#[test]
fn a_value_for_some_nodes_only_counts_too() {
    let per_node = nvset("instance_attributes", "a", "score='2'", "drbd_resource", "r0")
        .replace("<nvpair", "<rule id='r' score='0'/><nvpair")
        + &nvset("instance_attributes", "b", "", "drbd_resource", "r1");
    let drbd = format!(
        r#"<primitive id="p" class="ocf" provider="linbit" type="drbd">{per_node}</primitive>"#
    );
    for resource in ["r0", "r1"] {
        assert_eq!(held(&clone("c", &drbd), resource), Ok("c".to_owned()));
    }
}

#[test]
fn a_clone_that_was_named_has_to_be_there_and_no_more() {
    let resources = clone("a", &primitive("p", "r0")) + &clone("b", &primitive("q", "r0"));
    let cib = Made { resources, ..Made::default() }.read();
    for cib in [&cib, &Cib::parse(&cib.extract("")).unwrap()] {
        assert_eq!(cib.promotable_holding("r0", Some("b")), Ok("b".to_owned()));
        assert_eq!(cib.promotable_holding("r9", Some("b")), Ok("b".to_owned()));
        let unknown = Err(CloneError::Unknown("p".to_owned()));
        assert_eq!(cib.promotable_holding("r0", Some("p")), unknown);
    }
}

#[test]
fn a_clone_that_was_named_is_not_the_one_where_others_run_the_resource() {
    let resources = clone("a", &primitive("p", "r0")) + &clone("b", &primitive("q", "r1"));
    let cib = Made { resources, ..Made::default() }.read();
    let found = cib.promotable_holding("r0", Some("b")).map_err(|error| error.to_string());
    assert_eq!(
        found,
        Err("The DRBD resource \"r0\" is not in the clone \"b\" but in a".to_owned())
    );
    assert_eq!(cib.promotable_holding("r1", Some("b")), Ok("b".to_owned()));
}
