//! Any bytes as what a peer says on a stream; the first chooses the algorithm. Invariant: both machines end, and neither
//! takes a peer for one that has the key.
#![no_main]

use duet_xvm::exchange::{Client, Server, Stage, Want};
use duet_xvm::{Algorithm, Challenge, Key, Outstanding, Protection};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [choice, bytes @ ..] = input else { return };
    let key = Key::new(&[1; 32]).expect("it has 32 bytes");
    let Some(algorithm) = Algorithm::from_number(choice % 4) else { return };
    let auth = Protection::new(algorithm, Some(&key)).expect("there is a key");

    let mut client = Client::new(auth.clone(), Challenge::new([1; 64]));
    let mut rest = bytes;
    loop {
        match client.wants() {
            Want::Write(_) => client.wrote(),
            Want::Read(length) => {
                let Some((now, later)) = rest.split_at_checked(length) else { break };
                rest = later;
                if client.read(now).is_err() {
                    break;
                }
            }
            Want::Finished => break,
        }
    }
    assert!(algorithm == Algorithm::None || client.stage() == Stage::AwaitingProof);

    let outstanding = &mut Outstanding::default();
    let mut server = Server::new(auth, Challenge::new([2; 64]));
    let mut rest = bytes;
    loop {
        match server.wants() {
            Want::Write(_) => server.wrote(),
            Want::Read(length) => {
                let Some((now, later)) = rest.split_at_checked(length) else { break };
                rest = later;
                if server.read(now, outstanding).is_err() {
                    break;
                }
            }
            Want::Finished => {
                assert_eq!(algorithm, Algorithm::None);
                break;
            }
        }
    }
    server.close(outstanding);
    assert!(outstanding.is_empty());
});
