//! Utilization, by the executable: Pacemaker's CIB on disk and a crm_resource that answers as that of Pacemaker 2.1.5 was
//! recorded to. Invariant tested: written where it differs, by recurring monitors alone, and whatever comes of it, the
//! answer is that about the guest.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use duet_fake_tools::FakeDomain;
use stage::{Ran, Stage, UUID};

/// Notes its arguments, and puts what it is told into the CIB as Pacemaker does: a new file is renamed over it.
const CRM_RESOURCE: &str = r#"
echo "$*" >>$STAGE/calls
if [ -e $STAGE/away ]; then
    echo "crm_resource: Could not connect to the CIB: Transport endpoint is not connected" >&2
    echo "Error performing operation: Not connected" >&2
    exit 102
fi
if [ -e $STAGE/hangs ]; then sleep 60; fi
if [ -e $STAGE/refuses ]; then
    cat $STAGE/cib/cib.xml
    echo "crm_resource: Error performing operation: Invalid configuration" >&2
    exit 78
fi
name=$5 value=$7
sed "/name='$name'/d" $STAGE/cib/cib.xml >$STAGE/cib/cib.new
if [ "$4" = --set-parameter ]; then
    sed -i "s|^</utilization>|<nvpair id='p_web-utilization-$name' name='$name' value='$value'/>\n&|" $STAGE/cib/cib.new
    echo "Set 'p_web' option: id=p_web-utilization-$name set=p_web-utilization name=$name value=$value"
else
    echo "Deleted 'p_web' option: id=p_web-utilization-$name name=$name"
fi
if ! [ -e $STAGE/is-late ]; then mv $STAGE/cib/cib.new $STAGE/cib/cib.xml; fi
"#;

const CIB: &str = "mount -t tmpfs none /var/lib; mkdir -p /var/lib/pacemaker/cib; \
                   mount --bind \"$TOOLS/../cib\" /var/lib/pacemaker/cib; ";

fn set(name: &str, value: u64) -> String {
    format!("--resource p_web --utilization --set-parameter {name} --parameter-value {value}")
}

fn stage(pairs: &[(&str, &str)]) -> Option<Stage> {
    let mut stage = Stage::with(FakeDomain::running("web", UUID).of_size(2, 512 * 1024 + 1))?;
    stage.tool("crm_resource", CRM_RESOURCE);
    stage.before = CIB.to_owned();
    std::fs::create_dir(stage.at("cib")).unwrap();
    write(&stage, pairs);
    Some(stage)
}

fn write(stage: &Stage, pairs: &[(&str, &str)]) {
    let pairs: String = pairs
        .iter()
        .map(|(name, value)| format!("<nvpair id='i' name='{name}' value='{value}'/>\n"))
        .collect();
    let text = format!(
        "<cib><configuration><resources>\n<primitive id='p_web'>\n<utilization id='p_web-utilization'>\n\
         {pairs}</utilization>\n</primitive></resources></configuration></cib>\n"
    );
    std::fs::write(stage.at("cib/new"), text).unwrap();
    std::fs::rename(stage.at("cib/new"), stage.at("cib/cib.xml")).unwrap();
}

fn monitor(stage: &Stage) -> Ran {
    let ran = stage.recurring();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.reason().is_empty(), "{ran:?}");
    ran
}

#[test]
fn equal_is_not_written() {
    let Some(stage) = stage(&[("cpu", "2"), ("host_memory", "512")]) else { return };
    for _ in 0..3 {
        monitor(&stage);
    }
    assert_eq!(stage.lines("calls"), [""; 0]);
}

#[test]
fn different_is_written_once_and_left_alone_afterwards() {
    let Some(stage) = stage(&[("cpu", "1"), ("hv_memory", "9")]) else { return };
    let first = monitor(&stage);
    assert!(first.stderr.contains("INFO: Set utilization cpu of p_web to 2"), "{first:?}");
    let expected = [set("cpu", 2), set("host_memory", 512)];
    assert_eq!(stage.lines("calls"), expected);
    for _ in 0..3 {
        let later = monitor(&stage);
        assert!(later.stderr.is_empty(), "a quiet monitor logs nothing: {later:?}");
    }
    assert_eq!(stage.lines("calls"), expected);
    let cib = std::fs::read_to_string(stage.at("cib/cib.xml")).unwrap();
    assert!(cib.contains("name='cpu' value='2'") && cib.contains("name='hv_memory'"), "{cib}");
}

#[test]
fn a_cib_that_is_late_on_disk_is_not_written_to_again() {
    let Some(stage) = stage(&[]) else { return };
    std::fs::write(stage.at("is-late"), "").unwrap();
    for _ in 0..3 {
        monitor(&stage);
    }
    assert_eq!(stage.lines("calls"), [set("cpu", 2), set("host_memory", 512)]);
}

#[test]
fn a_guest_that_grows_and_a_cib_that_is_edited_are_noticed() {
    let Some(stage) = stage(&[("cpu", "2"), ("host_memory", "512")]) else { return };
    monitor(&stage);
    stage.libvirt().world().domains[0].vcpus = 4;
    monitor(&stage);
    assert_eq!(stage.lines("calls"), [set("cpu", 4)]);
    write(&stage, &[("cpu", "4"), ("host_memory", "1")]);
    monitor(&stage);
    assert_eq!(stage.lines("calls"), [set("cpu", 4), set("host_memory", 512)]);
}

#[test]
fn only_a_recurring_monitor_of_a_running_guest_writes() {
    let Some(stage) = stage(&[]) else { return };
    for action in ["monitor", "status", "validate-all", "start", "reload-agent"] {
        assert_eq!(stage.run(action).code, 0, "{action}");
    }
    assert!(!stage.libvirt().was_asked("info"));
    assert_eq!(stage.run("stop").code, 0);
    assert_eq!(stage.recurring().code, 7);
    assert_eq!(stage.lines("calls"), [""; 0]);
}

#[test]
fn what_is_switched_off_is_left_and_what_is_unset_is_removed() {
    let Some(stage) = stage(&[("cpu", "1"), ("host_memory", "1")]) else { return };
    let parameters = [
        ("CRM_meta_interval", "10000"),
        ("autoset_utilization_cpu", "false"),
        ("autoset_utilization_host_memory", "false"),
        ("unset_utilization_host_memory", "true"),
    ];
    for _ in 0..2 {
        assert_eq!(stage.run_with("monitor", &parameters).code, 0);
    }
    let expected = "--resource p_web --utilization --delete-parameter host_memory";
    assert_eq!(stage.lines("calls"), [expected]);
}

#[test]
fn a_write_that_fails_is_a_warning_and_tried_again() {
    let Some(stage) = stage(&[]) else { return };
    std::fs::write(stage.at("refuses"), "").unwrap();
    for _ in 0..2 {
        let ran = monitor(&stage);
        assert!(ran.stderr.contains("WARNING: Could not update the utilization cpu"), "{ran:?}");
        assert!(ran.stderr.contains("exited with 78: crm_resource: Error"), "{ran:?}");
        assert!(!ran.stderr.contains("<cib>"), "{ran:?}");
    }
    assert_eq!(stage.lines("calls").len(), 2);
    std::fs::remove_file(stage.at("refuses")).unwrap();
    monitor(&stage);
    assert_eq!(stage.lines("calls").len(), 4);
}

#[test]
fn without_a_cluster_nothing_is_written_and_nobody_is_warned() {
    let Some(stage) = stage(&[]) else { return };
    std::fs::write(stage.at("away"), "").unwrap();
    assert_eq!(monitor(&stage).stderr, "");
    std::fs::remove_file(stage.at("cib/cib.xml")).unwrap();
    std::fs::remove_file(stage.at("calls")).unwrap();
    assert_eq!(monitor(&stage).stderr, "");
    assert_eq!(stage.lines("calls"), [""; 0], "no CIB here");
}

#[test]
fn a_tool_that_hangs_holds_a_monitor_no_longer_than_its_time() {
    let Some(stage) = stage(&[]) else { return };
    std::fs::write(stage.at("hangs"), "").unwrap();
    let parameters = [("CRM_meta_interval", "10000"), ("CRM_meta_timeout", "3000")];
    let ran = stage.run_with("monitor", &parameters);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("did not end within"), "{ran:?}");
    assert!(ran.took.as_millis() < 3000, "{ran:?}");
}
