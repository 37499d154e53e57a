//! Any bytes as a datagram, and as the file of those that were seen. Invariant: reading returns, only 176 bytes are a
//! request, and what is read is written as it was as far as a daemon looks at it.
#![no_main]

use duet_xvm::{Algorithm, Datagram, Key, Protection, Replays, Target};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some(replays) = Replays::from_bytes(input, 100) {
        assert!(replays.len() <= 100);
    }
    let Ok(datagram) = Datagram::new(input) else {
        assert_ne!(input.len(), 176);
        return;
    };
    let key = Key::new(&[1; 32]).expect("it has 32 bytes");
    assert!(datagram.verify(Algorithm::Sha1, Some(&key)).is_err());
    let _ = datagram.digest();
    if let Ok(request) = datagram.verify(Algorithm::None, None) {
        if request.target == Target::Malformed {
            return;
        }
        let again = request.sign(&Protection::None, [0; 6]);
        assert_eq!(again.verify(Algorithm::None, None), Ok(request));
    }
});
