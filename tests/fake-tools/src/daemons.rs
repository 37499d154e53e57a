//! A node's cib_rw, crmd and attrd, listening as libqb's files do below a root of the test's own, and answering from the document that its
//! tools answer from. Invariant: what is said is worded as 2.1.5's daemons were recorded; what is done wrong is what `Conduct` says.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use duet_pacemaker_ipc::{HEADER_FILE, Mapping, Ring};

use crate::{ClusterState, FakeCluster, Xml};

/// How the daemons behave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conduct {
    /// As they should.
    #[default]
    Well,
    /// The same, in the form of messages that has parts.
    Parts,
    /// They accept, and say nothing.
    Silent,
    /// They refuse.
    Refusing,
    /// What they shake hands with is garbage.
    StrangeHandshake,
    /// They shake hands, and then say nothing.
    Mute,
    /// Messages have a header of another version.
    StrangeHeader,
    /// Messages are no XML.
    StrangeText,
    /// A message says that it is longer than it is.
    CutOff,
    /// A ring says something of itself that cannot be.
    BrokenRing,
    /// They close the connection instead of answering.
    Closing,
    /// They answer by bytes that tell of events, without end, and without events.
    Babbling,
    /// They answer a question only so much later.
    Late(Duration),
    /// A change is made, and nobody says so; all else is well.
    KeepingChanges,
    /// A change is not made, and the connection is closed instead.
    ClosingOnChanges,
}

/// The daemons of one node. They end with the test's process.
#[derive(Default)]
pub struct FakeDaemons {
    conduct: Arc<Mutex<Conduct>>,
    asked: Arc<Mutex<Vec<String>>>,
    values: Values,
    written: Values,
}

/// The attributes of one node, by name.
type Values = Arc<Mutex<BTreeMap<String, String>>>;

/// What one connection needs.
#[derive(Clone)]
struct Server {
    service: &'static str,
    node: String,
    state: Weak<Mutex<ClusterState>>,
    conduct: Arc<Mutex<Conduct>>,
    asked: Arc<Mutex<Vec<String>>>,
    values: Values,
    written: Values,
}

/// One ring of a connection.
struct Shared {
    header: Mapping,
    data: Mapping,
}

const LARGEST: usize = 128 * 1024;
/// A page more, as libqb rounds up.
const RING: usize = LARGEST + 4096;
/// How many connections there were, for names.
static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);

impl FakeDaemons {
    /// Those of `node`, below this root.
    #[must_use]
    pub fn start(root: &Path, node: &str, cluster: &FakeCluster) -> FakeDaemons {
        let daemons = FakeDaemons::default();
        for service in ["cib_rw", "crmd"] {
            daemons.listen(root, service, node, cluster.shared());
        }
        daemons
    }

    /// The attribute daemon of `node` alone, below this root.
    #[must_use]
    pub fn attributes(root: &Path, node: &str) -> FakeDaemons {
        let daemons = FakeDaemons::default();
        daemons.listen(root, "attrd", node, Weak::new());
        daemons
    }

    /// Has a CIB beside it, which can be asked for transient attributes alone.
    pub fn with_cib(&self, root: &Path, node: &str) {
        self.listen(root, "cib_rw", node, Weak::new());
    }

    /// Gives the attribute of this name a value, or takes it.
    pub fn set(&self, name: &str, value: Option<&str>) {
        change(&self.values, name, value);
    }

    /// The same in the CIB.
    pub fn write(&self, name: &str, value: Option<&str>) {
        change(&self.written, name, value);
    }

    fn listen(
        &self,
        root: &Path,
        service: &'static str,
        node: &str,
        state: Weak<Mutex<ClusterState>>,
    ) {
        let directory = root.join("var/run");
        std::fs::create_dir_all(&directory).unwrap();
        let listener = UnixListener::bind(directory.join(service)).unwrap();
        let server = Server {
            service,
            node: node.to_owned(),
            state,
            conduct: Arc::clone(&self.conduct),
            asked: Arc::clone(&self.asked),
            values: Arc::clone(&self.values),
            written: Arc::clone(&self.written),
        };
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                thread::spawn(move || server.serve(stream));
            }
        });
    }

    /// Has them behave like this from now on.
    pub fn conduct(&self, conduct: Conduct) {
        *self.conduct.lock().unwrap() = conduct;
    }

    /// What they were asked, by the names of operations and tasks; and forgets it.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Shared {
    fn make(path: &Path) -> Shared {
        let make = |end: &str, length: usize| {
            let path = PathBuf::from(format!("{}-{end}", path.display()));
            File::create(&path).unwrap().set_len(length as u64).unwrap();
            let me = nix::unistd::geteuid().as_raw();
            Mapping::open(&path, &[me], (length, length)).unwrap()
        };
        let (header, data) = (make("header", HEADER_FILE), make("data", RING));
        header.words()[2].store(u32::try_from(RING / 4).unwrap(), Ordering::Release);
        // What glibc has in a semaphore for several processes.
        header.words()[(8208 + 8) / 4].store(128, Ordering::Release);
        Shared { header, data }
    }

    fn ring(&self) -> Ring<'_> {
        Ring::of(self.header.words(), self.data.words()).unwrap()
    }
}

impl Server {
    fn conduct(&self) -> Conduct {
        *self.conduct.lock().unwrap()
    }

    /// One connection, until the other end has gone or this one behaves badly.
    fn serve(&self, mut stream: UnixStream) {
        let mut request = [0; 24];
        if stream.read_exact(&mut request).is_err() {
            return;
        }
        let number = CONNECTIONS.fetch_add(1, Ordering::Relaxed);
        let directory = PathBuf::from(format!("/dev/shm/qb-duet-{}-{number}", std::process::id()));
        let path = |kind: &str| directory.join(format!("qb-{kind}-{}", self.service));
        let mut offer = vec![0; 40 + 3 * 4096];
        offer[0..4].copy_from_slice(&(-1_i32).to_ne_bytes());
        offer[8..12].copy_from_slice(&12328_u32.to_ne_bytes());
        offer[24] = 1;
        offer[28..32].copy_from_slice(&u32::try_from(LARGEST).unwrap().to_ne_bytes());
        for (place, kind) in ["request", "response", "event"].iter().enumerate() {
            let path = path(kind).display().to_string();
            offer[40 + place * 4096..][..path.len()].copy_from_slice(path.as_bytes());
        }
        match self.conduct() {
            Conduct::Silent => {
                let _ = stream.read(&mut request);
                return;
            }
            Conduct::Refusing => offer[16..20].copy_from_slice(&(-13_i32).to_ne_bytes()),
            Conduct::StrangeHandshake => offer.fill(0x5a),
            _ => {}
        }
        std::fs::create_dir(&directory).unwrap();
        // The attribute daemon answers a request, the others tell of an event.
        let outbox = if self.service == "attrd" { "response" } else { "event" };
        let (request, outbox) = (Shared::make(&path("request")), Shared::make(&path(outbox)));
        if self.conduct() == Conduct::BrokenRing {
            outbox.header.words()[2].store(7, Ordering::Release);
        }
        let is_told = stream.write_all(&offer).is_ok();
        // Who has sent something has opened everything; who is gone never will.
        let mut byte = [0];
        let mut goes_on = is_told && stream.read_exact(&mut byte).is_ok();
        std::fs::remove_dir_all(&directory).unwrap();
        while goes_on {
            if let Some(message) = request.ring().take(LARGEST).unwrap() {
                request.header.count_down();
                goes_on = self.answer(&message, &outbox, &mut stream).is_some();
            }
            goes_on = goes_on && stream.read_exact(&mut byte).is_ok();
        }
    }

    /// Answers one message; nothing if the connection is to be closed.
    fn answer(&self, message: &[u8], outbox: &Shared, stream: &mut UnixStream) -> Option<()> {
        let text = std::str::from_utf8(&message[40..message.len() - 1]).unwrap();
        let request = Xml::parse(text);
        let of = |name: &str| request.get(name).unwrap_or_default().to_owned();
        let what = of("cib_op") + &of("crm_task") + &of("task");
        if matches!(what.as_str(), "register" | "hello") {
            return Some(());
        }
        self.asked.lock().unwrap().push(what.clone());
        let is_change = matches!(what.as_str(), "cib_apply_diff" | "cib_bump");
        match self.conduct() {
            Conduct::Mute => return Some(()),
            Conduct::Closing => return None,
            Conduct::Babbling => {
                while stream.write_all(&[0; 4096]).is_ok() {}
                return None;
            }
            Conduct::ClosingOnChanges if is_change => return None,
            Conduct::Late(delay) => thread::sleep(delay),
            _ => {}
        }
        let Some(reply) = self.reply(&what, &request) else { return Some(()) };
        let conduct = self.conduct();
        if is_change && conduct == Conduct::KeepingChanges {
            return Some(());
        }
        let reply = if conduct == Conduct::StrangeText { "<<".to_owned() } else { reply };
        for mut message in messages(&reply, conduct == Conduct::Parts) {
            match conduct {
                Conduct::StrangeHeader => message[36] = 9,
                Conduct::CutOff => message.truncate(message.len() - 5),
                _ => {}
            }
            while outbox.ring().put(&message, outbox.header.is_read()).is_err() {
                thread::sleep(Duration::from_millis(1));
            }
            outbox.header.post().unwrap();
            if self.service != "attrd" {
                stream.write_all(&[0]).ok()?;
            }
        }
        Some(())
    }

    /// What the daemon says; nothing where it does not.
    fn reply(&self, what: &str, request: &Xml) -> Option<String> {
        let of = |name: &str| request.get(name).unwrap_or_default().to_owned();
        if what == "query" {
            return Some(self.value(&of("attr_name")));
        }
        let options: u32 = of("cib_callopt").parse().unwrap_or(0);
        if what == "cib_query" && options & 2 != 0 {
            return Some(self.found(&of("cib_section"), &of("cib_callid"), options));
        }
        let peer = of("crm_host_to");
        let mut input = String::new();
        let words: Vec<&str> = match what {
            "cib_query" if options & 0x100 != 0 => vec!["cibadmin", "-Q", "-l"],
            "cib_query" => vec!["cibadmin", "-Q"],
            "cib_apply_diff" => {
                input = request.children[0].children[0].to_string();
                vec!["cibadmin", "--patch"]
            }
            "cib_bump" => vec!["cibadmin", "--bump"],
            "node-info" => vec!["crm_node", "-q"],
            "ping" => vec!["crmadmin", "-S", &peer],
            other => panic!("fake daemons: cannot do {other}"),
        };
        let (code, text, delay) = {
            let state = self.state.upgrade()?;
            let mut state = state.lock().unwrap();
            state.answer(&self.node, &words, &input)
        };
        // Nobody answered the daemon, or nobody will.
        if code == 124 || !delay.is_empty() {
            return None;
        }
        Some(match what {
            "node-info" => {
                let (node, has) = (&self.node, text.trim() == "1");
                from_controller(
                    request,
                    what,
                    &format!(
                        "<node crm_subsystem=\"crmd\" have-quorum=\"{has}\" id=\"1\" uname=\"{node}\" crmd=\"member\" remote_node=\"false\"/>"
                    ),
                )
            }
            "ping" => from_controller(
                request,
                what,
                "<ping_response crm_subsystem=\"crmd\" crmd_state=\"S_NOT_DC\" result=\"ok\"/>",
            ),
            _ => {
                let result = match code {
                    0 => 0,
                    103 => -205,
                    other => -other,
                };
                let call = of("cib_callid");
                let data = match (what, code) {
                    ("cib_query", 0) => format!("<cib_calldata>{text}</cib_calldata>"),
                    _ => String::new(),
                };
                format!(
                    "<cib-reply t=\"cib\" cib_op=\"{what}\" cib_callid=\"{call}\" cib_clientid=\"a-b\" \
                     cib_callopt=\"{options}\" cib_rc=\"{result}\">{data}</cib-reply>"
                )
            }
        })
    }
}

impl Server {
    /// What the CIB's daemon finds of this node's transient attribute, by the one path that is asked for it.
    fn found(&self, path: &str, call: &str, options: u32) -> String {
        let head =
            format!("//node_state[@uname='{}']/transient_attributes//nvpair[@name='", self.node);
        let name = path.strip_prefix(&head).and_then(|rest| rest.strip_suffix("']"));
        let name = name.unwrap_or_else(|| panic!("fake daemons: cannot find {path}"));
        let (result, data) = match self.written.lock().unwrap().get(name) {
            None => (-6, String::new()),
            Some(value) => (
                0,
                format!(
                    "<cib_calldata><nvpair id=\"status-1-{name}\" name=\"{name}\" value=\"{value}\"/></cib_calldata>"
                ),
            ),
        };
        format!(
            "<cib-reply t=\"cib\" cib_op=\"cib_query\" cib_callid=\"{call}\" cib_clientid=\"a-b\" \
             cib_callopt=\"{options}\" cib_rc=\"{result}\">{data}</cib-reply>"
        )
    }

    /// What the attribute daemon says of an attribute, which it knows if it has a value.
    fn value(&self, name: &str) -> String {
        let head = "<build_query_reply t=\"attrd\" subt=\"query\" attr_version=\"4\"";
        match self.values.lock().unwrap().get(name) {
            None => format!("{head}/>"),
            Some(value) => format!(
                "{head} attr_name=\"{name}\"><node attr_host=\"{}\" attr_value=\"{value}\"/></build_query_reply>",
                self.node
            ),
        }
    }
}

fn change(values: &Values, name: &str, value: Option<&str>) {
    let mut values = values.lock().unwrap();
    match value {
        Some(value) => values.insert(name.to_owned(), value.to_owned()),
        None => values.remove(name),
    };
}

fn from_controller(request: &Xml, task: &str, said: &str) -> String {
    let reference = request.get("reference").unwrap();
    format!(
        "<create_reply_adv origin=\"fake\" t=\"crmd\" version=\"3.16.1\" subt=\"response\" reference=\"{reference}\" \
         crm_task=\"{task}\" crm_sys_to=\"a-b\" crm_sys_from=\"crmd\" src=\"node1\"><crm_xml>{said}</crm_xml></create_reply_adv>"
    )
}

/// A text as messages: one, or parts.
fn messages(text: &str, has_parts: bool) -> Vec<Vec<u8>> {
    let part = |number: usize, text: &[u8]| {
        let size = u32::try_from(text.len() + 1).unwrap();
        let mut bytes = vec![0; 40];
        bytes[0..4].copy_from_slice(&5_u32.to_ne_bytes());
        bytes[8..12].copy_from_slice(&(size + 40).to_ne_bytes());
        bytes[24..28].copy_from_slice(&size.to_ne_bytes());
        if has_parts {
            bytes[28..32].copy_from_slice(&0x0003_0000_u32.to_ne_bytes());
            bytes[32] = 1;
            bytes[34..36].copy_from_slice(&u16::try_from(number).unwrap().to_ne_bytes());
        } else {
            bytes[32..36].copy_from_slice(&0x0003_0000_u32.to_ne_bytes());
            bytes[36] = 1;
        }
        bytes.extend_from_slice(text);
        bytes.push(0);
        bytes
    };
    if !has_parts {
        return vec![part(0, text.as_bytes())];
    }
    text.as_bytes().chunks(LARGEST - 41).enumerate().map(|(at, text)| part(at, text)).collect()
}
