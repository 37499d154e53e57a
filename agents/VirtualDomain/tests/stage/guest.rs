//! A process that the process table shows as a guest's QEMU. Invariant: it ends with the test.

use std::{
    io::Read,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

/// The process table is the machine's, and other tests look at it at the same time: nobody has a name or a UUID twice.
pub(crate) struct Who {
    /// Its name.
    pub(crate) name: String,
    /// Its UUID.
    pub(crate) uuid: String,
}

impl Who {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let time = Instant::now().elapsed().subsec_nanos();
        let uuid = format!("{pid:08x}-0000-4000-8000-{count:04x}{time:08x}");
        Self { name: format!("web,{pid}-{count}"), uuid }
    }
}

/// A process with the arguments of a QEMU that waits for its standard input to end.
pub(crate) struct Guest {
    child: Child,
    _open: ChildStdin,
}

impl Guest {
    pub(crate) fn start(script: &str, name: &str, uuid: &str) -> Self {
        Self::start_as(0, script, name, uuid)
    }

    /// One that only who may end other users' processes can end.
    pub(crate) fn of_another_user(who: &Who) -> Self {
        Self::start_as(65534, ":", &who.name, &who.uuid)
    }

    fn start_as(user: u32, script: &str, name: &str, uuid: &str) -> Self {
        let name = format!("guest={},debug-threads=on", name.replace(',', ",,"));
        let mut child = Command::new("/bin/sh")
            .uid(user)
            .args(["-c", &format!("{script}; echo; read x"), "qemu-system-x86_64"])
            .args(["-name", &name, "-S", "-uuid", uuid])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let open = child.stdin.take().unwrap();
        child.stdout.take().unwrap().read_exact(&mut [0]).unwrap();
        Self { child, _open: open }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// The signal that it died of.
    pub(crate) fn died_of(&mut self) -> Option<i32> {
        self.child.try_wait().unwrap().and_then(|status| status.signal())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
