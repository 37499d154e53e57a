//! Every way to be in a group or not, of the source and of the target.

use super::*;

const CONFIGURATION: &str = r#"
groups {
  group { name = "by name"; uuid = "Web"; ip = "10.0.0.1"; ip = "FD00::0:1"; ip = "7"; }
  group { name = "by uuid"; uuid = "11111111-2222-4333-8444-555555555502"; ip = "10.0.0.2"; }
  group { name = "nobody"; }
  group { uuid = "web"; uuid = "db"; }
}"#;

const WEB: &str = "11111111-2222-4333-8444-555555555501";
const DB: &str = "11111111-2222-4333-8444-555555555502";

fn known(name: &str, uuid: &str) -> Known {
    Known { name: name.to_owned(), uuid: uuid.parse().unwrap() }
}

fn address(text: &str) -> Source {
    text.parse::<IpAddr>().unwrap().into()
}

fn by(source: &Source) -> Member<'_> {
    Member { source, name: None }
}

fn permissions() -> Permissions {
    Permissions::of(&Configuration::parse(CONFIGURATION).unwrap()).0
}

#[test]
fn a_group_names_domains_by_name_or_uuid_and_both_ways_of_asking_are_one() {
    let group = |name: &str| Permission::Group(name.to_owned());
    let (first, second) = (address("10.0.0.1"), address("10.0.0.2"));
    let rows = [
        // Asked by, asked for, known to libvirt as: before libvirt was asked, only what was written counts.
        (&first, "web", None, group("by name")),
        (&first, WEB, None, Permission::NotThisTarget),
        (&first, WEB, Some(("web", WEB)), group("by name")),
        (&first, "db", Some(("db", DB)), Permission::NotThisTarget),
        (&second, "db", None, Permission::NotThisTarget),
        (&second, "db", Some(("db", DB)), group("by uuid")),
        (&second, DB, None, group("by uuid")),
        (&second, "11111111222243338444555555555502", None, group("by uuid")),
        (&second, "web", Some(("web", WEB)), Permission::NotThisTarget),
    ];
    for (source, asked, as_known, expected) in rows {
        let as_known = as_known.map(|(name, uuid)| known(name, uuid));
        let target = Target { asked, known: as_known.as_ref() };
        assert_eq!(
            permissions().ask(by(source), target),
            expected,
            "{source} {asked} {as_known:?}"
        );
    }
}

#[test]
fn once_libvirt_has_answered_only_its_answer_counts() {
    // A domain whose name is the UUID of another one.
    let impostor = known(DB, WEB);
    let target = Target { asked: WEB, known: Some(&impostor) };
    let renamed = Permissions {
        groups: vec![Group {
            name: "g".into(),
            domains: vec!["web".into()],
            addresses: vec!["7".into()],
        }],
    };
    assert_eq!(renamed.ask(by(&Source::Cid(7)), target), Permission::NotThisTarget);
}

#[test]
fn sources_are_addresses_context_ids_and_guests() {
    let web = known("web", WEB);
    let rows = [
        (address("fd00::1"), true),
        (address("::ffff:10.0.0.1"), true),
        (address("10.0.0.3"), false),
        (Source::Cid(7), true),
        (Source::Cid(8), false),
        (Source::Domain(DB.to_uppercase()), false),
        (Source::Domain("11111111-2222-4333-8444-555555555509".to_owned()), false),
    ];
    for (source, is_given) in rows {
        let target = Target { asked: "web", known: Some(&web) };
        assert_eq!(permissions().ask(by(&source), target).is_given(), is_given, "{source}");
    }
}

#[test]
fn without_groups_everybody_may_and_an_empty_one_is_none() {
    let nobody = Source::Cid(99);
    let target = Target { asked: "web", known: None };
    assert_eq!(Permissions::default().ask(by(&nobody), target), Permission::Everybody);
    let read = Configuration::parse("groups { group { name = \"empty\"; } }").unwrap();
    let (permissions, ignored) = Permissions::of(&read);
    assert_eq!(
        (permissions.ask(by(&nobody), target), ignored),
        (Permission::Everybody, vec!["empty".to_owned()])
    );
}

#[test]
fn a_guest_is_a_member_by_its_uuid_or_its_name() {
    let web = Source::Domain(WEB.to_owned());
    let target = Target { asked: "db", known: None };
    let ask = |name| permissions().ask(Member { source: &web, name }, target).is_given();
    assert!(ask(Some("WEB")) && !ask(Some("other")) && !ask(None));
    let target = Target { asked: DB, known: None };
    assert!(permissions().ask(by(&Source::Domain(DB.to_uppercase())), target).is_given());
}

#[test]
fn a_group_without_a_name_is_called_by_its_line() {
    assert_eq!(permissions().groups.last().unwrap().name, "on line 6");
}
