//! Records a guest's serial port by hand: `record ADDRESS:PORT SECONDS [SENDER=NAME]...` listens
//! there (UDP), reads marks from standard input and prints the recording as JSON lines, the verdict on stderr.
//! The recordings under `tests/recorded/oracle` were made with it.

use std::error::Error;
use std::io::BufRead;
use std::net::UdpSocket;
use std::time::Duration;

use duet_oracle::judge::{Start, judge};
use duet_oracle::{Recorder, Sources, event, eventually};

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: record ADDRESS:PORT SECONDS [SENDER=NAME]...";
    let mut args = std::env::args().skip(1);
    let socket = UdpSocket::bind(args.next().ok_or(usage)?)?;
    let seconds: u64 = args.next().ok_or(usage)?.parse()?;
    let mut sources = Sources::default();
    for node in args {
        let (sender, name) = node.split_once('=').ok_or(usage)?;
        sources = sources.node(sender.parse()?, name);
    }
    let mut recorder = Recorder::start();
    recorder.listen_serial(socket, sources)?;
    let journal = recorder.journal();
    let (done, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            journal.mark(&line);
        }
        done.send(())
    });
    // The end of standard input ends the recording early.
    let _ = eventually(Duration::from_secs(seconds), "the end of the marks", || end.try_recv());
    let events = recorder.stop();
    print!("{}", event::to_json_lines(&events));
    eprint!("{}", judge(&event::serial_lines(&events), Start::Fresh));
    Ok(())
}
