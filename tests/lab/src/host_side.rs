//! The host side of a lab: mount, process, network, name and IPC namespaces of its own whose root
//! is an overlay over the image's tree. Its libvirtd and QEMU are the image's, and so is fence_virtd where not ours runs; nothing
//! in it sees or touches the machine's own libvirt, cluster, host name, firewall or loop devices,
//! and when its first process ends, the kernel ends everything in it.

use crate::cgroups::Cgroups;
use crate::command::{self, Ran};
use crate::failure::{Failure, Result};
use crate::image::Image;
use crate::inside;
use crate::place::{Alive, Place, Process};
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// Where programs are in the tree.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A running host side.
#[derive(Debug, Clone)]
pub(crate) struct HostSide {
    pub(crate) holder: Process,
    pub(crate) run: PathBuf,
}

/// How long a lab lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Until `down`.
    Stays,
    /// No longer than the process that started it.
    DiesWithUs,
}

impl HostSide {
    /// Makes the namespaces and waits until their libvirtd answers.
    pub(crate) fn start(place: &Place, image: &Image, life: Life) -> Result<Self> {
        let log_path = place.file("host-side.log");
        let log = fs::File::create(&log_path)
            .map_err(Failure::io(format!("create {}", log_path.display())))?;
        let errors = log.try_clone().map_err(Failure::io("duplicate a file handle"))?;
        let own = std::env::current_exe().map_err(Failure::io("find this program's own file"))?;
        let ready = place.file("host-side.ready");
        drop(fs::remove_file(&ready));
        let mut argv: Vec<&str> = Vec::new();
        if life == Life::DiesWithUs {
            argv.extend(["setpriv", "--pdeathsig", "SIGKILL"]);
        }
        argv.extend([
            "setsid", "unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
        ]);
        argv.extend(["--fork", "--kill-child"]);
        let cgroups = Cgroups::of_this_machine();
        let enter = cgroups.enter_script(&place.run);
        if let Some(script) = &enter {
            let rest = std::mem::take(&mut argv);
            argv.extend(["sh", "-c", script, "enter"]);
            argv.extend(rest);
        }
        let mut child = Command::new(argv[0])
            .args(&argv[1..])
            .arg(own)
            .args(["_host-side".as_ref(), place.run.as_os_str(), image.dir.as_os_str()])
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(Failure::io("start the host side"))?;
        let outer = Process::of(i32::try_from(child.id()).unwrap_or(0));
        let started =
            duet_oracle::eventually(Duration::from_secs(60), "the lab's host side", || {
                if let Ok(Some(status)) = child.try_wait() {
                    return Err(format!(
                        "it ended ({status}): {}",
                        fs::read_to_string(&log_path).unwrap_or_default()
                    ));
                }
                if !ready.exists() {
                    return Err(fs::read_to_string(&log_path).unwrap_or_default());
                }
                outer
                    .and_then(|process| process.children().first().copied())
                    .ok_or_else(|| "no child yet".to_owned())
            });
        match started {
            Ok(holder) => {
                if let Some(process) = outer {
                    cgroups.delegate(&place.run, process);
                }
                Ok(Self { holder, run: place.run.clone() })
            }
            Err(error) => {
                if let Some(process) = outer {
                    process.children().into_iter().for_each(Process::kill);
                    process.kill();
                }
                drop(child.wait());
                Err(error.into())
            }
        }
    }

    /// The host side of a lab that is up.
    pub(crate) fn of(place: &Place, alive: &Alive) -> Self {
        Self { holder: alive.holder, run: place.run.clone() }
    }

    /// Runs a command inside; its status, output and errors come back.
    pub(crate) fn run(&self, argv: &[&str], within: Duration) -> Result<Ran> {
        self.run_with_input(argv, within, b"")
    }

    pub(crate) fn run_with_input(
        &self,
        argv: &[&str],
        within: Duration,
        input: &[u8],
    ) -> Result<Ran> {
        let enter = self.enter();
        let bound = format!("{:.1}", within.as_secs_f64());
        let mut all: Vec<&str> = enter.iter().map(String::as_str).collect();
        // The inner bound ends the command itself, the outer one only the way in.
        all.extend(["timeout", "-k", "2", &bound]);
        all.extend(argv);
        command::run_with_input(&all, within + Duration::from_secs(4), input)
    }

    /// A shell command that must succeed.
    pub(crate) fn sh(&self, script: &str, doing: &str) -> Result<String> {
        self.run(&["sh", "-c", script], Duration::from_secs(60))?.success(doing)
    }

    /// virsh on the host side's own libvirtd.
    pub(crate) fn virsh(&self, uri: &str, words: &[&str]) -> Result<Ran> {
        let mut argv = vec!["virsh", "-q", "-c", uri];
        argv.extend(words);
        self.run(&argv, Duration::from_secs(60))
    }

    /// Words that put the command after them inside.
    pub(crate) fn enter(&self) -> Vec<String> {
        let pid = self.holder.pid.to_string();
        ["nsenter", "-t", &pid, "-m", "-u", "-i", "-n", "-p", "-C", "--", "env", "-i", "HOME=/root"]
            .into_iter()
            .map(str::to_owned)
            .chain([format!("PATH={PATH}"), "LC_ALL=C.UTF-8".to_owned()])
            .collect()
    }

    /// Starts a daemon inside, its output in `<run>/<name>.log`.
    pub(crate) fn daemon(&self, name: &str, argv: &[&str]) -> Result<()> {
        let log = self.run.join(format!("{name}.log"));
        let quoted: Vec<String> = argv.iter().map(|word| quote(word)).collect();
        let script = format!(
            "setsid --fork {} </dev/null >>{} 2>&1",
            quoted.join(" "),
            quote(&log.to_string_lossy())
        );
        self.sh(&script, &format!("starting {name}")).map(drop)
    }

    /// Puts a program inside, in place of what has its name.
    pub(crate) fn put_program(&self, path: &str, content: &[u8]) -> Result<()> {
        let path = quote(path);
        let script = format!("rm -f {path} && cat >{path} && chmod 755 {path}");
        self.run_with_input(&["sh", "-c", &script], Duration::from_secs(60), content)?
            .success("installing a program on the lab's host side")
            .map(drop)
    }

    /// A UDP socket of this process that listens inside.
    pub(crate) fn udp(&self, address: &str) -> Result<UdpSocket> {
        let doing = format!("listen on {address} on the lab's host side");
        // The socket keeps the network of the thread that made it.
        let address = address.to_owned();
        self.inside(move || UdpSocket::bind(address))
            .join()
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread panicked")))
            .map_err(Failure::io(doing))
    }

    /// Does something on the lab's network, in a thread of its own: only such a one may change its network namespace.
    pub(crate) fn inside<T: Send + 'static>(
        &self,
        what: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> JoinHandle<std::io::Result<T>> {
        let path = format!("/proc/{}/ns/net", self.holder.pid);
        std::thread::spawn(move || {
            let namespace = fs::File::open(path)?;
            nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?;
            what()
        })
    }

    /// Ends everything inside.
    pub(crate) fn stop(&self) -> Result<()> {
        // A frozen process cannot die, and its namespace waits for it (control groups v1).
        let cgroups = Cgroups::of_this_machine();
        let inside = self.holder.descendants();
        inside.iter().for_each(|process| cgroups.thaw(*process));
        self.holder.kill();
        duet_oracle::eventually(Duration::from_secs(30), "the lab's processes to end", || {
            if self.holder.is_alive() {
                Err(format!("pid {} is there", self.holder.pid))
            } else {
                Ok(())
            }
        })?;
        cgroups.clean(&self.run);
        Ok(())
    }
}

/// One word for a POSIX shell.
pub(crate) fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// The first program inside the namespaces: makes the root, the network's base and libvirtd, then
/// buries orphans until it is ended.
pub(crate) fn main(run: &Path, image: &Path) -> Result<()> {
    let root = inside::make_root(run, image)?;
    inside::enter(&root)?;
    inside::start_libvirtd()?;
    crate::image::write(&run.join("host-side.ready"), b"")?;
    loop {
        match nix::sys::wait::wait() {
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            // No child at this moment.
            Err(_) => std::thread::sleep(Duration::from_millis(500)),
        }
    }
}
