//! The language of fence_xvm and fence_virtd, without a socket: requests, replies, host lists, signatures and challenges
//! as types, and who may do what. Invariant: nothing here reads, writes or waits; what is not understood is an error.

#![forbid(unsafe_code)]
