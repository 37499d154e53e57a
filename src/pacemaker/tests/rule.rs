//! The rule: in the stock handlers' text, read in every spelling that means the same, and refused in every other.
#![allow(clippy::unwrap_used, reason = "test")]

mod made;

use duet_pacemaker::{
    Cib, DEFAULT_PREFIX, FenceRule, FencingAttribute, Node, Role, RuleError, RuleName,
};
use made::Made;

const ID: &str = "drbd-fence-by-handler-r0-ms-r0";

fn name() -> RuleName {
    RuleName::new(DEFAULT_PREFIX, "r0", "ms-r0")
}

fn with(constraint: &str) -> Cib {
    Made { constraints: constraint.to_owned(), ..Made::default() }.read()
}

fn wanted(nodes: &[(u32, &Node)]) -> FenceRule {
    FenceRule::wanted(&name(), Role::Master, &FencingAttribute::Uname, nodes).unwrap()
}

#[test]
fn a_rule_is_written_as_the_stock_handlers_write_it() {
    let cib = Made::default().read();
    let [alpha, beta] = cib.nodes() else { panic!("two nodes") };
    let text = r##"<rsc_location rsc="ms-r0" id="drbd-fence-by-handler-r0-ms-r0">
 <rule role="Master" score="-INFINITY" id="drbd-fence-by-handler-r0-rule-ms-r0">
  <expression attribute="#uname" operation="ne" value="alpha" id="drbd-fence-by-handler-r0-expr-0-ms-r0"/>
  <expression attribute="#uname" operation="ne" value="beta" id="drbd-fence-by-handler-r0-expr-3-ms-r0"/>
 </rule>
</rsc_location>
"##;
    let rule = wanted(&[(0, alpha), (3, beta)]);
    assert_eq!(rule.to_xml(), text);
    assert_eq!(with(text).fence_rule(&name()), Ok(Some(rule)));
    assert_eq!(FenceRule::wanted(&name(), Role::Master, &FencingAttribute::Uname, &[]), None);
}

#[test]
fn the_resource_is_appended_to_the_prefix_unless_it_is_its_end() {
    let id = |prefix: &str, resource: &str| RuleName::new(prefix, resource, "c").id();
    assert_eq!(id(DEFAULT_PREFIX, "r0"), "drbd-fence-by-handler-r0-c");
    assert_eq!(id("mine-r0", "r0"), "mine-r0-c");
    assert_eq!(id("mine-r0", "0"), "mine-r0-0-c");
    assert_eq!(id("r0", "r0"), "r0-r0-c");
    assert_eq!(id("", "r0"), "-r0-c");
}

/// A rule that allows alpha, in parts that can be exchanged.
fn text(location: &str, rule: &str, expressions: &str) -> String {
    format!("<rsc_location {location}><rule {rule}>{expressions}</rule></rsc_location>")
}

const LOCATION: &str = r#"rsc="ms-r0" id="drbd-fence-by-handler-r0-ms-r0""#;
const RULE: &str = r#"role="Master" score="-INFINITY" id="x""#;
const ALPHA: &str = r##"<expression id="y" attribute="#uname" operation="ne" value="alpha"/>"##;

#[test]
fn every_spelling_of_the_same_is_the_same() {
    let same = [
        text(LOCATION, RULE, ALPHA),
        text(&format!("id='{ID}' rsc='ms-r0'"), "id='q' score='-infinity' role='Promoted'", ALPHA),
        text(LOCATION, "id='q' boolean-op='and' score='-1000000' role='master'", ALPHA),
        text(LOCATION, "id='q' boolean-op='AND' score='-9999999' role='promoted'", ALPHA),
        text(
            LOCATION,
            RULE,
            "\n\t<expression value='ALPHA'\n operation='ne' id='e' attribute='#uname' />\n",
        ),
        text(
            LOCATION,
            RULE,
            "<!-- by hand --><expression value='&#97;lpha' operation='ne' type='string' value-source='literal' id='e' attribute='#uname'/>",
        ),
        text(LOCATION, RULE, &(ALPHA.to_owned() + &ALPHA.replace("\"y\"", "\"z\""))),
    ];
    let cib = Made::default().read();
    let [alpha, beta] = cib.nodes() else { panic!("two nodes") };
    for constraint in same {
        let rule = with(&constraint).fence_rule(&name()).unwrap().expect(&constraint);
        assert!(rule.same_meaning(&wanted(&[(7, alpha)])), "{constraint}");
        assert!(!rule.same_meaning(&wanted(&[(7, beta)])), "{constraint}");
        assert!(!rule.same_meaning(&wanted(&[(0, alpha), (1, beta)])), "{constraint}");
        assert!(rule.allows(alpha) && rule.bans(beta), "{constraint}");
    }
}

#[test]
fn anything_else_in_it_is_an_edit_and_is_named() {
    let cases = [
        (
            text(LOCATION, &(RULE.to_owned() + " boolean-op='or'"), ALPHA),
            "<rule> has boolean-op=\"or\"",
        ),
        (text(LOCATION, &RULE.replace("-INFINITY", "-100"), ALPHA), "<rule> has score=\"-100\""),
        (text(LOCATION, &RULE.replace("-INFINITY", "red"), ALPHA), "<rule> has score=\"red\""),
        (
            text(LOCATION, &RULE.replace("-INFINITY", "INFINITY"), ALPHA),
            "<rule> has score=\"INFINITY\"",
        ),
        (text(LOCATION, &RULE.replace("Master", "Started"), ALPHA), "<rule> has role=\"Started\""),
        (text(LOCATION, "role='Master' id='x'", ALPHA), "<rule> has no score"),
        (text(LOCATION, "score='-INFINITY' id='x'", ALPHA), "<rule> has no role"),
        (text(LOCATION, "id-ref='x'", ""), "<rule> has id-ref=\"x\""),
        (text(LOCATION, RULE, ""), "it has 0 <expression>"),
        (text(LOCATION, RULE, &(ALPHA.to_owned() + "<rule id='z'/>")), "<rule> has a <rule>"),
        (
            text(LOCATION, RULE, "<date_expression id='d' operation='gt'/>"),
            "<rule> has a <date_expression>",
        ),
        (
            text(LOCATION, RULE, &ALPHA.replace("\"ne\"", "\"eq\"")),
            "<expression> has operation=\"eq\"",
        ),
        (
            text(LOCATION, RULE, &ALPHA.replace("id=\"y\"", "id=\"y\" type=\"version\"")),
            "<expression> has type=\"version\"",
        ),
        (
            text(LOCATION, RULE, &ALPHA.replace("id=\"y\"", "id=\"y\" value-source=\"meta\"")),
            "<expression> has value-source=\"meta\"",
        ),
        (
            text(LOCATION, RULE, &ALPHA.replace("#uname", "#id")),
            "<expression> has attribute=\"#id\"",
        ),
        (text(LOCATION, RULE, &ALPHA.replace("#uname", "")), "<expression> has attribute=\"\""),
        (text(LOCATION, RULE, &ALPHA.replace("value=\"alpha\"", "")), "<expression> has no value"),
        (text(&LOCATION.replace("\"ms-r0\" ", "\"ms-r1\" "), RULE, ALPHA), "it is for \"ms-r1\""),
        (text(&LOCATION.replace("rsc=\"ms-r0\"", ""), RULE, ALPHA), "it is for \"\""),
        (
            text(&LOCATION.replace("rsc=", "rsc-pattern="), RULE, ALPHA),
            "<rsc_location> has rsc-pattern=\"ms-r0\"",
        ),
        (
            text(&(LOCATION.to_owned() + " node='beta'"), RULE, ALPHA),
            "<rsc_location> has node=\"beta\"",
        ),
        (
            text(&(LOCATION.to_owned() + " resource-discovery='never'"), RULE, ALPHA),
            "<rsc_location> has resource-discovery=\"never\"",
        ),
        (
            format!("<rsc_location {LOCATION} node='beta' score='-INFINITY'/>"),
            "<rsc_location> has node=\"beta\"",
        ),
        (format!("<rsc_location {LOCATION}/>"), "it has 0 <rule>"),
        (
            format!(
                "<rsc_location {LOCATION}><rule {RULE}>{ALPHA}</rule><rule {RULE}>{ALPHA}</rule></rsc_location>"
            ),
            "it has 2 <rule>",
        ),
        (
            format!(
                "<rsc_location {LOCATION}><lifetime/><rule {RULE}>{ALPHA}</rule></rsc_location>"
            ),
            "<rsc_location> has a <lifetime>",
        ),
        (format!("<rsc_order id='{ID}' first='a' then='b'/>"), "it is a <rsc_order>"),
        (text(LOCATION, RULE, ALPHA) + &text(LOCATION, RULE, ALPHA), "there are 2 of that id"),
    ];
    for (constraint, said) in cases {
        let refused = with(&constraint).fence_rule(&name()).unwrap_err();
        let RuleError::EditedByHand { id, what } = &refused;
        assert_eq!((id.as_str(), what.to_string().as_str()), (ID, said), "{constraint}");
    }
}

#[test]
fn another_constraint_is_not_the_rule() {
    for id in ["drbd-fence-by-handler-r0-ms-r", "drbd-fence-by-handler-ms-r0", "DRBD-FENCE"] {
        let cib = with(&text(&LOCATION.replace(ID, id), RULE, ALPHA));
        assert_eq!(cib.fence_rule(&name()), Ok(None), "{id}");
    }
}

#[test]
fn a_fencing_attribute_is_compared_and_a_node_without_it_is_banned() {
    let nodes = r#"<node id="1" uname="alpha"><instance_attributes id="a"><nvpair id="b" name="site" value="East"/>
        </instance_attributes></node><node id="2" uname="beta"><instance_attributes id="c"><nvpair id="d" name="site" value="west"/>
        </instance_attributes></node><node id="3" uname="gamma"/>"#;
    let cib = Made { nodes: nodes.to_owned(), ..Made::default() }.read();
    let [alpha, beta, gamma] = cib.nodes() else { panic!("three nodes") };
    let site = FencingAttribute::parse("site");
    let rule = FenceRule::wanted(&name(), Role::Master, &site, &[(0, alpha)]).unwrap();
    assert!(rule.to_xml().contains(r#"attribute="site" operation="ne" value="East""#));
    assert!(rule.allows(alpha) && rule.bans(beta) && rule.bans(gamma));
    // The name stands in for an attribute that a node does not have.
    let both = FenceRule::wanted(&name(), Role::Master, &site, &[(0, alpha), (2, gamma)]).unwrap();
    assert!(both.to_xml().contains(r##"attribute="#uname" operation="ne" value="gamma""##));
    assert!(both.allows(alpha) && both.bans(beta) && both.allows(gamma));
    assert_eq!(with(&both.to_xml()).fence_rule(&name()), Ok(Some(both)));
}

#[test]
fn what_is_transient_counts_before_what_is_permanent() {
    let nodes = r#"<node id="1" uname="alpha"><instance_attributes id="a"><nvpair id="b" name="site" value="east"/>
        </instance_attributes></node>"#;
    let status = r#"<node_state id="1" uname="alpha"><transient_attributes id="1"><instance_attributes id="s">
        <nvpair id="t" name="site" value="west"/></instance_attributes></transient_attributes></node_state>"#;
    let permanent = Made { nodes: nodes.to_owned(), ..Made::default() };
    let cib = permanent.read();
    let site = FencingAttribute::parse("site");
    let rule = FenceRule::wanted(&name(), Role::Master, &site, &[(0, &cib.nodes()[0])]).unwrap();
    assert!(rule.allows(&cib.nodes()[0]));
    let overridden = Made { status: status.to_owned(), ..permanent }.read();
    assert!(rule.bans(&overridden.nodes()[0]));
}

#[test]
fn names_that_xml_or_a_shell_would_stumble_over_survive() {
    for odd in ["a\"b", "a'b", "<&>", "a b", "\u{e9}\u{1f600}", "a\n\tb", "]]>", "$(reboot)"] {
        let mut node = Made::default().read().nodes()[0].clone();
        odd.clone_into(&mut node.uname);
        let rule = wanted(&[(0, &node)]);
        let read = with(&rule.to_xml()).fence_rule(&name()).unwrap().unwrap();
        assert_eq!(read, rule);
        assert!(read.allows(&node));
    }
}
