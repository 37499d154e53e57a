//! Datagrams that are requests, and the many that are not.

use super::*;
use duet_xvm::{Operation, Protection, Target};

const NOW: Duration = Duration::from_secs(1000);

fn key() -> Key {
    Key::new(b"0123456789abcdef").unwrap()
}

fn terms(hash: Algorithm) -> Terms {
    Terms { hash, key: Some(key()) }
}

fn memory() -> Memory {
    Memory { replays: Replays::new(100), window: Window::default(), fresh: Vec::new() }
}

fn off(call_back: &str) -> Request {
    Request {
        operation: Operation::Off,
        target: Target::Domain("node1".parse().unwrap()),
        by_uuid: false,
        call_back: call_back.parse().ok(),
        sequence: 7,
    }
}

fn signed(request: &Request, algorithm: Algorithm, random: u8) -> Vec<u8> {
    let protection = Protection::new(algorithm, Some(&key())).unwrap();
    request.sign(&protection, [random; 6]).as_bytes().to_vec()
}

const NOBODY: (IpAddr, &[SocketAddr]) = (IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2)), &[]);

fn judge(bytes: &[u8], memory: &mut Memory) -> Result<(Asked, SocketAddr), Dropped> {
    datagram(bytes, &terms(Algorithm::Sha256), memory, NOBODY, |_| false, NOW)
}

#[test]
fn a_request_is_exactly_176_bytes_whatever_came_before() {
    let whole = signed(&off("10.0.0.2:1229"), Algorithm::Sha256, 1);
    let mut memory = memory();
    let long = [&whole[..], b"x"].concat();
    for length in [0, 1, 60, 175] {
        let short = &whole[..length];
        assert_eq!(
            judge(short, &mut memory),
            Err(Dropped::Refused(duet_xvm::Error::Length(length)))
        );
    }
    assert!(judge(&whole, &mut memory).is_ok());
    for bytes in [&whole[..1], &whole[..175], &long] {
        assert!(matches!(
            judge(bytes, &mut memory),
            Err(Dropped::Refused(duet_xvm::Error::Length(_)))
        ));
    }
}

#[test]
fn as_strong_as_configured_or_stronger_and_by_our_key() {
    for (hash, is_taken) in [
        (Algorithm::None, false),
        (Algorithm::Sha1, false),
        (Algorithm::Sha256, true),
        (Algorithm::Sha512, true),
    ] {
        let bytes = signed(&off("10.0.0.2:1229"), hash, 1);
        assert_eq!(judge(&bytes, &mut memory()).is_ok(), is_taken, "{hash}");
    }
    let other =
        Protection::new(Algorithm::Sha256, Some(&Key::new(b"another key, yes").unwrap())).unwrap();
    let bytes = *off("10.0.0.2:1229").sign(&other, [1; 6]).as_bytes();
    let refused = duet_xvm::Error::Signature(Algorithm::Sha256);
    assert_eq!(judge(&bytes, &mut memory()), Err(Dropped::Refused(refused)));
}

#[test]
fn a_recording_is_dropped_for_ever_also_of_a_copy_that_led_to_nothing() {
    let mut memory = memory();
    let request = off("10.0.0.2:1229");
    let (first, copy) =
        (signed(&request, Algorithm::Sha256, 1), signed(&request, Algorithm::Sha256, 2));
    assert!(judge(&first, &mut memory).is_ok());
    // The copy comes while its sender is called back.
    let in_flight = datagram(&copy, &terms(Algorithm::Sha256), &mut memory, NOBODY, |_| true, NOW);
    assert_eq!(in_flight, Err(Dropped::InFlight));
    for bytes in [&first, &copy] {
        for later in [0, 11, 86_400 * 30].map(Duration::from_secs) {
            let judged = datagram(
                bytes,
                &terms(Algorithm::Sha256),
                &mut memory,
                NOBODY,
                |_| false,
                NOW + later,
            );
            assert_eq!(judged, Err(Dropped::Replayed));
        }
    }
    assert_eq!(memory.fresh.len(), 2);
}

#[test]
fn a_copy_of_what_was_carried_out_is_a_duplicate_for_10_seconds() {
    let mut memory = memory();
    let request = off("10.0.0.2:1229");
    let source = Source::from(request.call_back.unwrap().ip());
    assert_eq!(memory.window.claim(&request, &source, NOW), Admission::Fresh);
    let judged = judge(&signed(&request, Algorithm::Sha256, 3), &mut memory);
    assert_eq!(judged, Err(Dropped::Duplicate));
    // One whose call-back was lost was not carried out, and another copy of it may be.
    let other = Request { sequence: 8, ..request };
    assert!(judge(&signed(&other, Algorithm::Sha256, 4), &mut memory).is_ok());
    assert!(judge(&signed(&other, Algorithm::Sha256, 5), &mut memory).is_ok());
}

#[test]
fn a_copy_that_comes_late_of_a_change_that_was_carried_out_is_dropped_and_of_a_question_it_is_not()
{
    for (operation, late) in [(Operation::Off, Err(Dropped::Late)), (Operation::Status, Ok(()))] {
        let mut memory = memory();
        let sent = Request { operation, ..off("10.0.0.2:1229") };
        let other = Request { call_back: "10.0.1.2:1229".parse().ok(), ..sent.clone() };
        let first = judge(&signed(&sent, Algorithm::Sha256, 1), &mut memory).unwrap().0;
        let source = Source::from(NOBODY.0);
        // Called back, and lost: the next copy counts.
        let second = judge(&signed(&sent, Algorithm::Sha256, 2), &mut memory).unwrap().0;
        assert_eq!(claim(&second, &source, &mut memory, NOW), Ok(()));
        let later = NOW + Duration::from_secs(11);
        // One that was withheld, and one that was being called back all the time.
        let bytes = signed(&other, Algorithm::Sha256, 3);
        let withheld =
            datagram(&bytes, &terms(Algorithm::Sha256), &mut memory, NOBODY, |_| false, later);
        assert_eq!(withheld.map(drop), late);
        assert_eq!(claim(&first, &source, &mut memory, later), late);
    }
}

#[test]
fn nobody_is_called_back_where_nobody_can_be() {
    let own = ["10.0.0.1:1229", "[::]:77"].map(|text| text.parse().unwrap());
    for (to, is_called) in [
        ("10.0.0.2:1229", true),
        ("127.0.0.1:1229", false),
        ("[::1]:1229", false),
        ("[::ffff:127.0.0.1]:1229", false),
        ("[fd00::1]:1229", true),
        ("10.0.0.1:1230", true),
        ("10.0.0.1:1229", false),
        ("[::ffff:10.0.0.1]:1229", false),
        ("[::1]:77", false),
        ("225.0.0.12:1229", false),
        ("255.255.255.255:1229", false),
        ("0.0.0.0:1229", false),
        ("[ff05::1]:1229", false),
        ("[::]:1229", false),
        ("[::ffff:225.0.0.12]:1229", false),
    ] {
        let bytes = signed(&off(to), Algorithm::Sha256, 1);
        let judged = datagram(
            &bytes,
            &terms(Algorithm::Sha256),
            &mut memory(),
            (NOBODY.0, &own),
            |_| false,
            NOW,
        );
        assert_eq!(judged.is_ok(), is_called, "{to}");
    }
    // A client of this host has a copy with the loopback, which comes by it.
    let bytes = signed(&off("127.0.0.1:1229"), Algorithm::Sha256, 1);
    for (from, is_called) in [("127.0.0.1", true), ("10.0.0.1", false), ("::ffff:127.0.0.1", true)]
    {
        let by = (from.parse().unwrap(), &own[..]);
        let judged = datagram(&bytes, &terms(Algorithm::Sha256), &mut memory(), by, |_| false, NOW);
        assert_eq!(judged.is_ok(), is_called, "{from}");
    }
    let bytes = signed(&off("nowhere"), Algorithm::Sha256, 1);
    assert_eq!(judge(&bytes, &mut memory()), Err(Dropped::NoAddress));
}

#[test]
fn where_nothing_has_to_be_signed_there_is_nothing_to_remember() {
    let mut memory = memory();
    let open = Terms { hash: Algorithm::None, key: None };
    let bytes = *off("10.0.0.2:1229").sign(&Protection::None, [0; 6]).as_bytes();
    for _ in 0..2 {
        assert!(datagram(&bytes, &open, &mut memory, NOBODY, |_| false, NOW).is_ok());
    }
    assert!(memory.replays.is_empty());
}

#[test]
fn no_text_of_a_refusal_has_a_signature() {
    let bytes = signed(&off("10.0.0.2:1229"), Algorithm::Sha256, 1);
    let mut altered = bytes.clone();
    altered[0] = 3;
    let why = judge(&altered, &mut memory()).unwrap_err();
    let digits: String = bytes[112..116].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(!format!("{why} {why:?}").contains(&digits));
}
