//! Runs a handler on an input: real Pacemaker tools over one CIB file, stubs for all that needs a cluster or a module.
//! Invariant: whatever is mounted, is mounted in a namespace of the one call.

use crate::input::{Driver, Fate, Input, RULE, node};
use crate::{Error, Result};
use duet_drbd::Version;
use duet_fake_tools::{FakeKernel, Xml};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What a call answered and left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// Whom the rule allows; `None` without one.
    pub(crate) allowed: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    Stock,
    Ours,
}

/// Where the tools look for what they answer.
const CASE: &str = "/mnt";

/// Tools of Pacemaker's that work on the file, and those that would need a cluster or a module.
const STUBS: [(&str, &str); 9] = [
    (
        "cibadmin",
        "[ -n \"$CIB_file\" ] || export CIB_file=/mnt/cib.xml; exec /usr/sbin/cibadmin \"$@\"",
    ),
    (
        "crm_mon",
        "[ -n \"$CIB_file\" ] || export CIB_file=/mnt/cib.xml; exec /usr/sbin/crm_mon \"$@\"",
    ),
    (
        "crm_attribute",
        "[ -n \"$CIB_file\" ] || export CIB_file=/mnt/cib.xml; exec /usr/sbin/crm_attribute \"$@\"",
    ),
    ("crm_node", "case \" $* \" in *' -n '*) echo node1 ;; *) cat /mnt/quorum ;; esac"),
    (
        "crmadmin",
        "case \" $* \" in *' --version '*) exit 0 ;; esac; for node; do :; done; \
         grep -qx \"$node\" /mnt/answers || exit 124; echo \"Controller on $node in state S_NOT_DC: ok\"",
    ),
    ("drbdsetup", "[ \"$1\" = events2 ] && exec cat /mnt/events2"),
    ("drbdadm", "case \" $* \" in *' dump-xml '*) exec cat /mnt/configuration ;; esac"),
    ("logger", "exec cat >/dev/null"),
    ("reboot", "exit 1"),
];

/// The programs and their stubs, laid out.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: TempDir,
}

/// What one worker has: a kernel of each driver.
#[derive(Debug)]
pub(crate) struct Worker<'a> {
    stage: &'a Stage,
    directory: TempDir,
    v8: FakeKernel,
    v9: FakeKernel,
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(Error::io("write", path))
}

fn program(path: &Path, text: &str) -> Result<()> {
    write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::io("allow", path))
}

impl Stage {
    /// Of the stock handlers of this machine and of ours.
    pub(crate) fn lay_out(ours: &Path) -> Result<Stage> {
        let directory = tempfile::tempdir().map_err(Error::io("make", Path::new("a directory")))?;
        let at = |name: &str| directory.path().join(name);
        for name in ["stubs", "stock", "ours"] {
            fs::create_dir(at(name)).map_err(Error::io("make", &at(name)))?;
        }
        for (name, text) in STUBS {
            program(&at("stubs").join(name), &format!("#!/bin/sh\n{text}\n"))?;
        }
        for suffix in [".sh", ".9.sh"] {
            let fence = format!("crm-fence-peer{suffix}");
            let path = Path::new("/usr/lib/drbd").join(&fence);
            let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            // There is no module, hence no such file.
            let text = text.replace("/proc/drbd", &format!("{CASE}/proc_drbd"));
            program(&at("stock").join(&fence), &text)?;
            program(&at("stock").join(format!("crm-unfence-peer{suffix}")), &text)?;
            for name in [fence, format!("crm-unfence-peer{suffix}")] {
                let link = at("ours").join(name);
                symlink(ours, &link).map_err(Error::io("link", &link))?;
            }
        }
        Ok(Stage { directory })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn worker(&self) -> Result<Worker<'_>> {
        let version = |major, minor, patch| Version { major, minor, patch };
        Ok(Worker {
            stage: self,
            directory: tempfile::tempdir().map_err(Error::io("make", Path::new("a directory")))?,
            v8: FakeKernel::start(version(8, 4, 11), duet_drbd::View::default()),
            v9: FakeKernel::start(version(9, 2, 16), duet_drbd::View::default()),
        })
    }
}

impl Worker<'_> {
    /// What this handler makes of the input.
    pub(crate) fn run(&self, input: &Input, whose: Whose) -> Result<Outcome> {
        let case = self.directory.path().join("case");
        let _ = fs::remove_dir_all(&case);
        fs::create_dir(&case).map_err(Error::io("make", &case))?;
        let answering = (2..).zip(&input.peers);
        let answering = answering.filter(|(_, (_, fate))| *fate == Fate::Answers);
        let answers: String = answering.map(|(number, _)| node(number) + "\n").collect();
        let quorum = if input.node_sees_quorum { "1\n" } else { "0\n" };
        for (name, text) in [
            ("cib.xml", input.cib()),
            ("events2", input.events2()),
            ("proc_drbd", input.proc_drbd()),
            ("configuration", input.configuration()),
            ("answers", answers),
            ("quorum", quorum.to_owned()),
        ] {
            write(&case.join(name), &text)?;
        }
        let kernel = match input.driver {
            Driver::V8 => &self.v8,
            Driver::V9 => &self.v9,
        };
        let view = input.view();
        kernel.change(|now| *now = view);
        let folder = match whose {
            Whose::Stock => "stock",
            Whose::Ours => "ours",
        };
        // Waiting is not what is compared: who is not confirmed at once, is not confirmed at the timeout.
        let locks = format!("{CASE}/locks");
        let mut words = vec!["--timeout", "0", "--lock-dir", &locks];
        words.extend(input.only_if_owner.then_some("--unfence-only-if-owner-match"));
        let output = Command::new("timeout")
            .args(["-k", "2", "120", "unshare", "--mount", "--uts", "--propagation", "private"])
            .args(["sh", "-ec"])
            .arg(
                "mount --bind \"$1\" /usr/local/sbin; mount --bind \"$2\" \"$3\"; \
                 echo node1 >/proc/sys/kernel/hostname; cd /; shift 3; exec \"$@\"",
            )
            .arg("sh")
            .arg(self.stage.at("stubs"))
            .arg(&case)
            .arg(CASE)
            .arg(self.stage.at(folder).join(input.program()))
            .args(words)
            .env_clear()
            .envs(kernel.environment())
            .envs(input.environment())
            .env("PATH", "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .output()
            .map_err(Error::io("start", Path::new("timeout")))?;
        let code = output.status.code().unwrap_or(-1);
        if let 124..=137 = code {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Error::NoEnd { what: format!("{whose:?} {}", input.line()), code, said });
        }
        let path = case.join("cib.xml");
        let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
        Ok(Outcome { code, allowed: allowed(&text) })
    }
}

fn allowed(cib: &str) -> Option<BTreeSet<String>> {
    let mut cib = Xml::parse(cib);
    let constraints = cib.find("/cib/configuration/constraints").ok()?;
    let rule = constraints.children.iter().find(|it| it.get("id") == Some(RULE))?;
    let expressions = rule.children.iter().flat_map(|rule| &rule.children);
    Some(expressions.filter_map(|one| one.get("value")).map(str::to_owned).collect())
}
