//! The states that DRBD has words for, and the numbers that its kernel messages carry for them. A word or a
//! number that is not in a table becomes `Unrecognized`, which no rule counts as good.

use crate::Generation;
use std::fmt;

/// An enumeration of DRBD's words, with its raw numbers on 8.4 and on 9.
macro_rules! states {
    ($(#[$about:meta])* $name:ident { $($(#[$what:meta])* $variant:ident = $word:literal, $v8:expr, $v9:expr;)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$what])* $variant,)*
            /// A word or a number that was not known when this was written.
            Unrecognized(String),
        }

        impl $name {
            /// Reads DRBD's own word.
            #[must_use]
            pub fn parse(word: &str) -> $name {
                match word {
                    $($word => $name::$variant,)*
                    other => $name::Unrecognized(other.to_owned()),
                }
            }

            /// Reads the number in a kernel message.
            #[must_use]
            pub fn from_raw(raw: u32, generation: Generation) -> $name {
                const TABLE: &[(Option<u32>, Option<u32>, $name)] = &[$(($v8, $v9, $name::$variant),)*];
                let row = TABLE.iter().find(|(v8, v9, _)| match generation {
                    Generation::V8 => *v8 == Some(raw),
                    Generation::V9 => *v9 == Some(raw),
                });
                row.map_or_else(|| $name::Unrecognized(raw.to_string()), |(_, _, state)| state.clone())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $word,)*
                    $name::Unrecognized(word) => word,
                })
            }
        }
    };
}

states! {
    /// Who may write. One per resource on 9, one per volume on 8.4.
    Role {
        /// Not known: the peer's, when it is not connected.
        Unknown = "Unknown", Some(0), Some(0);
        /// May be opened for writing.
        Primary = "Primary", Some(1), Some(1);
        /// May not be opened.
        Secondary = "Secondary", Some(2), Some(2);
    }
}

states! {
    /// What a disk's data is worth. 8.4 has no Detaching, so its numbers differ from 2 on.
    Disk {
        /// No disk: a failure, or on purpose (a client).
        Diskless = "Diskless", Some(0), Some(0);
        /// Reading the metadata.
        Attaching = "Attaching", Some(1), Some(1);
        /// Letting go of the disk.
        Detaching = "Detaching", None, Some(2);
        /// After an I/O error.
        Failed = "Failed", Some(2), Some(3);
        /// Attached while connected; the peers have not yet agreed.
        Negotiating = "Negotiating", Some(3), Some(4);
        /// Data that no moment ever had.
        Inconsistent = "Inconsistent", Some(4), Some(5);
        /// Consistent and known to be old.
        Outdated = "Outdated", Some(5), Some(6);
        /// Not known: a peer's, when it is not connected.
        DUnknown = "DUnknown", Some(6), Some(7);
        /// Consistent; whether it is old is not known.
        Consistent = "Consistent", Some(7), Some(8);
        /// The data.
        UpToDate = "UpToDate", Some(8), Some(9);
    }
}

states! {
    /// A connection. On 8.4 the kernel has one scale for this and replication, from 10 on Connected.
    Connection {
        /// Not connected and not trying: by a person, or after a split brain.
        StandAlone = "StandAlone", Some(0), Some(0);
        /// Going to StandAlone.
        Disconnecting = "Disconnecting", Some(1), Some(1);
        /// About to try.
        Unconnected = "Unconnected", Some(2), Some(2);
        /// No answer in time.
        Timeout = "Timeout", Some(3), Some(3);
        /// Broken from the other side.
        BrokenPipe = "BrokenPipe", Some(4), Some(4);
        /// Lost.
        NetworkFailure = "NetworkFailure", Some(5), Some(5);
        /// Broken by an answer that makes no sense.
        ProtocolError = "ProtocolError", Some(6), Some(6);
        /// The peer closes it.
        TearDown = "TearDown", Some(7), Some(7);
        /// Waiting for the peer.
        Connecting = "Connecting", Some(8), Some(8);
        /// Connected.
        Connected = "Connected", Some(10), Some(9);
    }
}

states! {
    /// What goes over a connection for one volume.
    Replication {
        /// Not connected.
        Off = "Off", None, Some(9);
        /// Writes are replicated.
        Established = "Established", Some(10), Some(10);
        /// A full sync from here is about to begin.
        StartingSyncS = "StartingSyncS", Some(11), Some(11);
        /// A full sync to here is about to begin.
        StartingSyncT = "StartingSyncT", Some(12), Some(12);
        /// Waiting for the bitmap, as source.
        WFBitMapS = "WFBitMapS", Some(13), Some(13);
        /// Waiting for the bitmap, as target.
        WFBitMapT = "WFBitMapT", Some(14), Some(14);
        /// Waiting for the source's UUID.
        WFSyncUUID = "WFSyncUUID", Some(15), Some(15);
        /// Resync from here.
        SyncSource = "SyncSource", Some(16), Some(16);
        /// Resync to here.
        SyncTarget = "SyncTarget", Some(17), Some(17);
        /// Online verify, asked from here.
        VerifyS = "VerifyS", Some(18), Some(18);
        /// Online verify, asked from there.
        VerifyT = "VerifyT", Some(19), Some(19);
        /// A resync from here that pauses.
        PausedSyncS = "PausedSyncS", Some(20), Some(20);
        /// A resync to here that pauses.
        PausedSyncT = "PausedSyncT", Some(21), Some(21);
        /// Behind a slow link: marked instead of sent.
        Ahead = "Ahead", Some(22), Some(22);
        /// At the end of a slow link.
        Behind = "Behind", Some(23), Some(23);
    }
}

impl Disk {
    /// Whether reads are served from it without a peer: Consistent or better.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        matches!(self, Disk::Consistent | Disk::UpToDate)
    }

    /// Whether it will be something else in a moment, on its own. It is not UpToDate then.
    #[must_use]
    pub fn is_transitional(&self) -> bool {
        matches!(self, Disk::Attaching | Disk::Negotiating)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_is_another_disk_on_another_driver() {
        assert_eq!(Disk::from_raw(8, Generation::V8), Disk::UpToDate);
        assert_eq!(Disk::from_raw(8, Generation::V9), Disk::Consistent);
        assert_eq!(Disk::from_raw(9, Generation::V9), Disk::UpToDate);
        assert_eq!(Disk::from_raw(9, Generation::V8), Disk::Unrecognized("9".into()));
    }

    #[test]
    fn nothing_unknown_is_good() {
        for raw in 0..300 {
            for generation in [Generation::V8, Generation::V9] {
                let disk = Disk::from_raw(raw, generation);
                let is_good = raw == if generation == Generation::V8 { 8 } else { 9 };
                assert_eq!(disk == Disk::UpToDate, is_good, "{raw}");
                assert_eq!(Disk::parse(&disk.to_string()), disk, "{raw}");
                let role = Role::from_raw(raw, generation);
                assert_eq!(role == Role::Primary, raw == 1);
            }
        }
        assert_eq!(Disk::parse("uptodate"), Disk::Unrecognized("uptodate".into()));
        assert!(!Disk::parse("Splendid").is_consistent());
    }
}
