//! Copy-on-write images, with tools that do as qemu-img 7.2 and virt-copy-in do. Invariant tested: under its own name
//! there is only ever a whole overlay, and never a new one under a running guest.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests")]
#![allow(dead_code, reason = "each test file uses its part of the stage")]

mod stage;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use duet_fake_tools::{FakeDomain, World};
use stage::{OTHER, Stage, UUID};

/// Notes its arguments; knows of a raw file, makes an image and takes one called `busy` for open elsewhere.
const QEMU_IMG: &str = r#"#!/bin/sh
echo "qemu-img $*" >>"$STAGE/log"
case $* in
*"--output=json "*none.img) echo "qemu-img: Could not open '$4': No such file or directory" >&2; exit 1 ;;
*"--output=json "*) echo '{ "virtual-size": 1048576, "format": "raw" }' ;;
info*) if grep -q busy "$2"; then
         echo 'qemu-img: Could not open: Failed to get shared "write" lock' >&2; exit 1
       fi ;;
create*) for last; do :; done; echo fresh >"$last" ;;
esac
"#;
const COPY_IN: &str = r#"#!/bin/sh
echo "virt-copy-in $*" >>"$STAGE/log"
if [ "$3" = /refused ]; then echo "virt-copy-in: no such directory" >&2; exit 1; fi
echo copied >>"$2"
"#;
/// The machine may have the real ones.
const HIDE: &str = "for tool in qemu-img virt-copy-in; do \
    if [ -e /usr/bin/$tool ]; then mount --bind /dev/null /usr/bin/$tool; fi; done";

struct Tools(Stage);

impl Tools {
    fn new(world: World) -> Option<Self> {
        let mut stage = Stage::new(world)?;
        let tools = stage.directory().join("tools");
        fs::create_dir(&tools).unwrap();
        stage.before = HIDE.to_owned();
        let tools = Self(stage);
        tools.tool("qemu-img", QEMU_IMG);
        tools.tool("virt-copy-in", COPY_IN);
        tools.disk(&tools.overlay());
        Some(tools)
    }

    fn tool(&self, name: &str, script: &str) {
        let path = self.0.directory().join("tools").join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn overlay(&self) -> PathBuf {
        self.0.definition().with_extension("qcow2")
    }

    /// Writes a definition with this disk.
    fn disk(&self, file: &Path) {
        let xml = format!(
            "<domain type='kvm'><name>web</name><uuid>{UUID}</uuid><devices><disk type='file'>\
             <source file='{}'/></disk></devices></domain>",
            file.display()
        );
        fs::write(self.0.definition(), xml).unwrap();
    }

    fn run(&self, action: &str, more: &[(&str, &str)]) -> stage::Ran {
        let backing = [("backingfile", "/srv/base.img")];
        self.0.run_with(action, &[&backing, more].concat())
    }

    fn content(&self) -> String {
        fs::read_to_string(self.overlay()).unwrap_or_default()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.directory().join("log")).unwrap_or_default()
    }

    fn leftovers(&self) -> usize {
        let names = fs::read_dir(self.0.directory()).unwrap().map(|name| name.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().contains("being-made")).count()
    }
}

#[test]
fn an_overlay_is_made_where_it_is_missing_or_empty_and_kept_otherwise() {
    for before in [None, Some(""), Some("the guest's work")] {
        let Some(tools) = Tools::new(World::default()) else { return };
        if let Some(before) = before {
            fs::write(tools.overlay(), before).unwrap();
        }
        let ran = tools.run("start", &[]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(tools.0.libvirt().was_asked("create"));
        if before == Some("the guest's work") {
            assert_eq!(tools.content(), "the guest's work");
            assert_eq!(tools.log(), "", "nothing was run");
        } else {
            assert_eq!(tools.content(), "fresh\n");
            let expected = "create -q -f qcow2 -F raw -b /srv/base.img ";
            assert!(tools.log().contains(expected), "{}", tools.log());
        }
        assert!(!tools.0.libvirt().world().domains[0].persistent, "transient as every other");
    }
}

#[test]
fn a_stateless_guest_has_a_fresh_overlay_each_time_and_none_while_it_runs() {
    let Some(tools) = Tools::new(World::default()) else { return };
    let stateless = [("stateless", "true")];
    fs::write(tools.overlay(), "of the run before").unwrap();
    assert_eq!(tools.run("start", &stateless).code, 0);
    assert_eq!(tools.content(), "fresh\n");
    fs::write(tools.overlay(), "of this run").unwrap();
    for action in ["start", "monitor", "status", "validate-all"] {
        assert_eq!(tools.run(action, &stateless).code, 0);
    }
    assert_eq!(tools.content(), "of this run", "it runs already");
    assert_eq!(tools.run("stop", &stateless).code, 0);
    assert_eq!(tools.content(), "of this run", "a stop touches no image");
    assert_eq!(tools.run("start", &stateless).code, 0);
    assert_eq!(tools.content(), "fresh\n");
}

#[test]
fn an_overlay_that_somebody_has_open_is_not_replaced() {
    let Some(tools) = Tools::new(World::default()) else { return };
    fs::write(tools.overlay(), "busy").unwrap();
    let ran = tools.run("start", &[("stateless", "true")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("in use") && ran.reason().contains("lock"), "{ran:?}");
    assert_eq!(tools.content(), "busy");
    // Nor is that of a namesake that runs.
    let running = World { domains: vec![FakeDomain::running("web", OTHER)], ..World::default() };
    let Some(tools) = Tools::new(running) else { return };
    assert_eq!(tools.run("start", &[("stateless", "true")]).code, 1);
    assert_eq!((tools.content().as_str(), tools.log().as_str()), ("", ""));
}

#[test]
fn directories_are_copied_into_a_fresh_overlay_only() {
    let Some(tools) = Tools::new(World::default()) else { return };
    let copies = [("copyindirs", "/etc/web /srv/www")];
    let ran = tools.run("start", &copies);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(tools.content(), "fresh\ncopied\n");
    assert!(tools.log().contains(".qcow2.being-made /etc/web /srv/www /\n"), "{}", tools.log());
    assert_eq!(tools.run("stop", &copies).code, 0);
    assert_eq!(tools.run("start", &copies).code, 0);
    assert_eq!(tools.content(), "fresh\ncopied\n", "it was not fresh any more");
}

#[test]
fn a_copy_that_fails_leaves_neither_an_overlay_nor_a_guest() {
    for before in [None, Some("the run before")] {
        let Some(tools) = Tools::new(World::default()) else { return };
        if let Some(before) = before {
            fs::write(tools.overlay(), before).unwrap();
        }
        let ran = tools.run("start", &[("copyindirs", "/refused"), ("stateless", "true")]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.reason().contains("no such directory"), "{ran:?}");
        assert_eq!(tools.content(), before.unwrap_or_default());
        assert_eq!(tools.leftovers(), 0);
        assert!(!tools.0.libvirt().was_asked("create"));
        assert_eq!(tools.run("stop", &[]).code, 0);
    }
}

#[test]
fn a_backing_file_that_cannot_be_used_fails_in_the_words_of_qemu_img() {
    let Some(tools) = Tools::new(World::default()) else { return };
    let ran = tools.0.run_with("start", &[("backingfile", "/srv/none.img")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("none.img': No such file or directory"), "{ran:?}");
    tools.tool("qemu-img", "#!/bin/sh\necho '{}'\n");
    let ran = tools.run("start", &[]);
    assert!(ran.code == 1 && ran.reason().contains("which format"), "{ran:?}");
}

#[test]
fn missing_tools_are_a_missing_installation() {
    let Some(tools) = Tools::new(World::default()) else { return };
    let copies = [("copyindirs", "/etc/web")];
    for missing in ["virt-copy-in", "qemu-img"] {
        fs::remove_file(tools.0.directory().join("tools").join(missing)).unwrap();
        let ran = tools.run("start", &copies);
        assert_eq!(ran.code, 5, "{ran:?}");
        assert!(ran.reason().contains(missing), "{ran:?}");
        assert_eq!((tools.content().as_str(), tools.leftovers()), ("", 0));
        assert_eq!(tools.run("stop", &copies).code, 0);
    }
}

#[test]
fn a_tool_that_hangs_is_ended_and_leaves_no_half_overlay() {
    let Some(tools) = Tools::new(World::default()) else { return };
    tools.tool("virt-copy-in", "#!/bin/sh\necho half >>\"$2\"; exec sleep 60\n");
    let ran = tools.run("start", &[("copyindirs", "/etc/web"), ("CRM_meta_timeout", "3000")]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.reason().contains("did not end within"), "{ran:?}");
    assert!(ran.took < Duration::from_secs(3), "{ran:?}");
    assert_eq!((tools.content().as_str(), tools.leftovers()), ("", 0));
    // As a start that was killed would leave it.
    fs::write(tools.0.directory().join(".web.qcow2.being-made"), "half").unwrap();
    tools.tool("virt-copy-in", COPY_IN);
    assert_eq!(tools.run("start", &[("copyindirs", "/etc/web")]).code, 0);
    assert_eq!(tools.content(), "fresh\ncopied\n");
    assert_eq!(tools.leftovers(), 0);
}

/// What it leads to may be on storage that is not there just now.
#[test]
fn a_link_that_leads_nowhere_is_not_replaced() {
    let Some(tools) = Tools::new(World::default()) else { return };
    let elsewhere = tools.0.directory().join("not-mounted/web.qcow2");
    std::os::unix::fs::symlink(&elsewhere, tools.overlay()).unwrap();
    for parameters in [&[][..], &[("stateless", "true")]] {
        let ran = tools.run("start", parameters);
        assert_eq!(ran.code, 5, "{ran:?}");
        assert!(ran.reason().contains(tools.overlay().to_str().unwrap()), "{ran:?}");
        assert_eq!(fs::read_link(tools.overlay()).unwrap(), elsewhere);
        assert!(!tools.0.libvirt().was_asked("create"));
    }
}

#[test]
fn the_definition_has_to_name_the_overlay() {
    let Some(tools) = Tools::new(World::default()) else { return };
    tools.disk(Path::new("/srv/base.img"));
    for action in ["start", "validate-all"] {
        let ran = tools.run(action, &[]);
        assert_eq!(ran.code, 5, "{ran:?}");
        for word in ["/srv/base.img", tools.overlay().to_str().unwrap()] {
            assert!(ran.reason().contains(word), "{ran:?}");
        }
    }
    tools.0.define("web", Some(UUID));
    assert!(tools.run("start", &[]).reason().contains("no disk file"));
    assert_eq!(tools.log(), "");
    assert!(!tools.0.libvirt().was_asked("create"));
}

#[test]
fn an_overlay_of_the_stock_agent_is_used_on_where_the_definition_names_it() {
    let Some(mut tools) = Tools::new(World::default()) else { return };
    let srv = tools.0.directory().join("srv");
    fs::create_dir_all(srv.join("vm.d")).unwrap();
    // The test's own directory has a dot in its path.
    tools.0.before.push_str("; mkdir /run/srv; mount --bind \"$STAGE/srv\" /run/srv");
    let config = [("config", "/run/srv/vm.d/web.xml")];
    tools.disk(Path::new("/run/srv/vm.qcow2"));
    fs::copy(tools.0.definition(), srv.join("vm.d/web.xml")).unwrap();
    let ran = tools.run("start", &config);
    assert_eq!(ran.code, 5, "it is not there, and not made: {ran:?}");
    let stocks = srv.join("vm.qcow2");
    fs::write(&stocks, "the stock agent's").unwrap();
    assert_eq!(tools.run("start", &config).code, 0);
    assert_eq!(fs::read_to_string(&stocks).unwrap(), "the stock agent's");
    assert_eq!(tools.run("stop", &config).code, 0);
    // Another guest's, for all this definition says.
    tools.disk(Path::new("/run/srv/vm.d/web.qcow2"));
    fs::copy(tools.0.definition(), srv.join("vm.d/web.xml")).unwrap();
    assert_eq!(tools.run("start", &[&config[..], &[("stateless", "true")]].concat()).code, 0);
    assert_eq!(fs::read_to_string(&stocks).unwrap(), "the stock agent's");
    assert_eq!(fs::read_to_string(srv.join("vm.d/web.qcow2")).unwrap(), "fresh\n");
}

#[test]
fn validation_does_not_let_stateless_stand_alone() {
    let Some(tools) = Tools::new(World::default()) else { return };
    for (parameters, word) in [
        ([("stateless", "true"), ("backingfile", "")], "stateless"),
        ([("copyindirs", "/etc"), ("backingfile", "")], "copyindirs"),
        ([("stateless", "true"), ("backingfile", "base.img")], "backingfile"),
    ] {
        let ran = tools.0.run_with("validate-all", &parameters);
        assert_eq!(ran.code, 6, "{ran:?}");
        assert!(ran.reason().contains(word), "{ran:?}");
        assert_eq!(tools.0.run_with("monitor", &parameters).code, 7);
        assert_eq!(tools.0.run_with("stop", &parameters).code, 0);
    }
}

#[test]
fn the_real_qemu_img_makes_an_overlay_over_the_backing_file() {
    let Some(mut tools) = Tools::new(World::default()) else { return };
    if !Path::new("/usr/bin/qemu-img").exists() {
        eprintln!("skipped: no qemu-img on this machine");
        return;
    }
    tools.0.before.clear();
    fs::remove_file(tools.0.at("tools").join("qemu-img")).unwrap();
    for format in ["raw", "qcow2"] {
        let base = tools.0.directory().join(format!("base, {format}.img"));
        let base = base.to_str().unwrap();
        let qemu_img = |arguments: &[&str]| {
            let ran = std::process::Command::new("/usr/bin/qemu-img").args(arguments).output();
            let ran = ran.unwrap();
            assert!(ran.status.success(), "{ran:?}");
            String::from_utf8(ran.stdout).unwrap()
        };
        qemu_img(&["create", "-q", "-f", format, base, "1M"]);
        let parameters = [("backingfile", base), ("stateless", "true")];
        let ran = tools.0.run_with("start", &parameters);
        assert_eq!(ran.code, 0, "{ran:?}");
        let overlay = tools.overlay();
        let info = qemu_img(&["info", overlay.to_str().unwrap()]);
        for says in ["file format: qcow2", base, &format!("backing file format: {format}")] {
            assert!(info.contains(says), "{info}");
        }
        assert_eq!(tools.0.run_with("stop", &parameters).code, 0);
    }
}
