//! Any bytes as the answer to any call. The first byte chooses the call, the rest is what follows the length word, header
//! included; on every other choice a fitting header is put in front, so that the fuzzer gets at the values. Invariant:
//! reading returns.
#![no_main]

use duet_libvirt_rpc::{
    Procedure, check_answer,
    wire::{Header, Kind, LENGTH_BYTES, REMOTE_PROGRAM, REMOTE_VERSION, Status},
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((choice, rest)) = input.split_first() else { return };
    let calls = Procedure::ALL;
    let call = calls[usize::from(*choice) / 4 % calls.len()];
    let status = if choice & 2 == 0 { Status::Ok } else { Status::Error };
    if choice & 1 == 0 {
        let header = Header {
            program: REMOTE_PROGRAM,
            version: REMOTE_VERSION,
            procedure: call.number(),
            kind: Kind::Reply,
            serial: 7,
            status,
        };
        let _ = check_answer(call, 7, &header.frame(rest)[LENGTH_BYTES..]);
    } else {
        let _ = check_answer(call, 7, rest);
    }
});
