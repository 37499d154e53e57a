//! Which utilization is kept, and what a CIB on disk leads to.
#![allow(clippy::disallowed_methods, reason = "tests of what is done about a file")]

use super::*;
use duet_ocf::{Action, Environment, Strictness};
use std::fs;

const SIZE: DomainInfo =
    DomainInfo { max_memory_kib: 2 * 1024 * 1024 + 1023, memory_kib: 7, vcpus: 3, cpu_time_ns: 9 };

fn settings(
    action: Action,
    interval: &str,
    is_xen: bool,
    parameters: &[(&str, &str)],
) -> Option<Settings> {
    let mut environment = Environment::default()
        .with("OCF_RESOURCE_INSTANCE", "vm")
        .with("OCF_RESKEY_config", "/srv/vm.xml")
        .with("OCF_RESKEY_CRM_meta_interval", interval);
    for (name, value) in parameters {
        environment = environment.with(&format!("OCF_RESKEY_{name}"), value);
    }
    let request = Request::new(action, environment);
    let values = Values::read(&crate::spec::SPEC, &request, Strictness::Lenient).unwrap();
    Settings::read(&request, &values, is_xen, "/run/mark".into())
}

fn care(is_xen: bool, parameters: &[(&str, &str)]) -> Option<[Care; 3]> {
    settings(Action::Monitor, "10000", is_xen, parameters).map(|settings| settings.care)
}

#[test]
fn only_a_recurring_monitor_keeps_utilization() {
    for action in Action::ALL {
        for interval in ["0", "10000"] {
            let keeps = settings(action, interval, false, &[]).is_some();
            assert_eq!(keeps, action == Action::Monitor && interval != "0", "{action} {interval}");
        }
    }
}

#[test]
fn hypervisor_memory_is_written_for_xen_unless_said_otherwise() {
    use Care::{Leave, Set, Unset};
    const HV: &str = "autoset_utilization_hv_memory";
    for (is_xen, parameters, expected) in [
        (false, &[][..], [Set, Set, Leave]),
        (true, &[], [Set, Set, Set]),
        (false, &[(HV, "true")], [Set, Set, Set]),
        (true, &[(HV, "no")], [Set, Set, Leave]),
        (true, &[(HV, "perhaps")], [Set, Set, Set]),
        (false, &[("unset_utilization_hv_memory", "1")], [Set, Set, Unset]),
        (true, &[("unset_utilization_hv_memory", "1")], [Set, Set, Set]),
        (false, &[("autoset_utilization_cpu", "false")], [Leave, Set, Leave]),
    ] {
        assert_eq!(care(is_xen, parameters), Some(expected), "{is_xen} {parameters:?}");
    }
    let none = [("autoset_utilization_cpu", "0"), ("autoset_utilization_host_memory", "off")];
    assert_eq!(care(false, &none), None);
}

/// A node with a CIB on disk.
struct Node {
    directory: tempfile::TempDir,
    settings: Settings,
}

impl Node {
    fn new(care: [Care; 3]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings {
            resource: "vm".into(),
            cib: directory.path().join("cib.xml"),
            mark: directory.path().join("mark"),
            care,
        };
        Self { directory, settings }
    }

    /// As Pacemaker replaces it.
    fn write(&self, resources: &str) {
        let new = self.directory.path().join("cib.new");
        fs::write(&new, format!("<cib><resources>{resources}</resources></cib>")).unwrap();
        fs::rename(new, &self.settings.cib).unwrap();
    }

    fn look(&self) -> Option<Update> {
        self.settings.look(SIZE)
    }

    fn changes(&self) -> Vec<(&'static str, Option<u64>)> {
        let update = self.look().unwrap();
        update.changes.into_iter().map(|change| (change.name, change.value)).collect()
    }

    fn remember(&self, update: &Update) {
        memory::write(&self.settings.mark, &update.mark).unwrap();
    }
}

fn vm(pairs: &[(&str, &str)]) -> String {
    let pairs: String = pairs
        .iter()
        .map(|(name, value)| format!("<nvpair id='x' name='{name}' value='{value}'/>"))
        .collect();
    format!("<primitive id='vm'><utilization id='u'>{pairs}</utilization></primitive>")
}

const ALL: [Care; 3] = [Care::Set, Care::Set, Care::Leave];

#[test]
fn what_differs_is_changed_and_nothing_else() {
    let (cpu, memory) = (("cpu", Some(3)), ("host_memory", Some(2048)));
    let node = Node::new(ALL);
    for (resources, expected) in [
        (vm(&[("cpu", "3"), ("host_memory", "2048")]), vec![]),
        (vm(&[("cpu", " 3 "), ("host_memory", "2048"), ("hv_memory", "1")]), vec![]),
        (vm(&[("cpu", "2"), ("host_memory", "2048")]), vec![cpu]),
        (vm(&[("cpu", "3")]), vec![memory]),
        (vm(&[("cpu", "three")]), vec![cpu, memory]),
        ("<primitive id='vm'/>".into(), vec![cpu, memory]),
        ("<primitive id='vm1'/>".into(), vec![]),
        ("<primitive id='vm'><utilization id-ref='u'/></primitive>".into(), vec![]),
    ] {
        node.write(&resources);
        assert_eq!(node.changes(), expected, "{resources}");
    }
}

#[test]
fn what_is_unset_is_removed_where_it_is() {
    let node = Node::new([Care::Unset, Care::Leave, Care::Unset]);
    node.write(&vm(&[("cpu", "3"), ("host_memory", "5")]));
    assert_eq!(node.changes(), [("cpu", None)]);
    node.write(&vm(&[]));
    assert_eq!(node.changes(), []);
    let template = vm(&[("cpu", "3")]).replace("primitive id='vm'", "template id='t'");
    let template = template.replace("/primitive", "/template");
    node.write(&format!("{template}<primitive id='vm' template='t'/>"));
    assert_eq!(node.changes(), [], "the template's cannot be removed from the resource");
}

#[test]
fn the_same_file_is_not_read_again_until_the_size_changes() {
    let node = Node::new(ALL);
    node.write(&vm(&[("cpu", "2"), ("host_memory", "2048")]));
    let update = node.look().unwrap();
    assert_eq!(node.look().as_ref(), Some(&update), "not remembered yet");
    node.remember(&update);
    assert_eq!(node.look(), None);
    assert!(node.settings.look(DomainInfo { vcpus: 4, ..SIZE }).is_some());
    node.write(&vm(&[("cpu", "3"), ("host_memory", "2048")]));
    let update = node.look().unwrap();
    assert!(update.changes.is_empty() && update.mark.contains("cpu=3"));
    node.remember(&update);
    assert_eq!(node.look(), None);
}

#[test]
fn without_a_usable_cib_there_is_nothing_to_do() {
    let node = Node::new(ALL);
    assert_eq!(node.look(), None, "missing");
    fs::create_dir(&node.settings.cib).unwrap();
    assert_eq!(node.look(), None, "a directory");
    fs::remove_dir(&node.settings.cib).unwrap();
    fs::write(&node.settings.cib, b"<cib><resources><primitive id='vm' <<\xff").unwrap();
    assert_eq!(node.look(), None, "broken");
}

#[test]
fn a_mark_that_somebody_else_could_have_written_is_not_believed() {
    let node = Node::new(ALL);
    node.write(&vm(&[]));
    let update = node.look().unwrap();
    node.remember(&update);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    fs::set_permissions(&node.settings.mark, mode).unwrap();
    assert_eq!(node.look(), Some(update));
}

#[test]
fn the_tool_is_called_as_recorded() {
    let settings = Node::new(ALL).settings;
    for (value, is_instance, expected) in [
        (Some(4), false, "--set-parameter cpu --parameter-value 4"),
        (Some(4), true, "--set-parameter cpu --parameter-value 4 --force"),
        (None, false, "--delete-parameter cpu"),
    ] {
        let call = call(&settings, &Change { name: "cpu", value }, is_instance);
        let shown = format!("{call:?}").replace(['"', ','], "");
        let expected = format!("[--resource vm --utilization {expected}]");
        assert!(shown.contains(&expected), "{shown}");
    }
}
