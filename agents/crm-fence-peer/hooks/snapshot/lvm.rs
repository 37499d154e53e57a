//! LVM's tools: what they are asked, and what they say. Invariant: LVM looks at no device of DRBD's, which it could hang
//! on for ever while one is inconsistent; and only names that LVM can have given are passed back to it.

use duet_host::process::Call;

use super::{Trouble, choice::Choice};

/// In place of the machine's own choice of devices.
const NO_DRBD: &str = "devices/filter=[\"r|^/dev/drbd|\"]";

/// The logical volume that is below DRBD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) volume_group: String,
    pub(super) logical_volume: String,
    /// In KiB.
    pub(super) size: u64,
}

/// The snapshot that is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) name: String,
    /// In KiB.
    pub(super) size: u64,
}

/// Which volume a device is.
pub(super) fn ask(lvs: Call, device: &str) -> Call {
    lvs.args(["--config", NO_DRBD, "--noheadings", "--nosuffix", "--units", "b"]).args([
        "-o",
        "vg_name,lv_name,lv_size",
        device,
    ])
}

/// What lvs said to that.
pub(super) fn origin(said: &str) -> Result<Origin, Trouble> {
    let words: Vec<&str> = said.split_whitespace().collect();
    let not_understood = || Trouble::Unsuitable(format!("lvs said {said:?}, which is no volume"));
    let [volume_group, logical_volume, size] = words[..] else { return Err(not_understood()) };
    let size: u64 = size.parse().map_err(|_| not_understood())?;
    if !is_name(volume_group) || !is_name(logical_volume) || size < 1024 {
        return Err(not_understood());
    }
    Ok(Origin {
        volume_group: volume_group.to_owned(),
        logical_volume: logical_volume.to_owned(),
        size: size / 1024,
    })
}

/// Letters, digits and `+_.-`, not beginning with `-`, at most 127: what LVM takes for a name.
fn is_name(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+_.-".contains(&byte);
    !text.is_empty()
        && text.len() <= 127
        && !text.starts_with('-')
        && text != "."
        && text != ".."
        && text.bytes().all(is_letter)
}

/// Its name.
pub(super) fn name(choice: &Choice, origin: &Origin, is_stacked: bool) -> Result<String, Trouble> {
    let stacked = if is_stacked { "-stacked" } else { "" };
    let name = match &choice.name {
        Some(name) => format!("{name}{stacked}"),
        None => format!("{}-before-resync{stacked}", origin.logical_volume),
    };
    match is_name(&name) && name != origin.logical_volume {
        true => Ok(name),
        false => Err(Trouble::Unsuitable(format!("{name:?} is no name for a snapshot"))),
    }
}

/// Its name, and a size in which all that the resync changes has its old content, and something is left for what LVM needs
/// itself and for what is written meanwhile.
pub(super) fn snapshot(
    choice: &Choice,
    origin: &Origin,
    out_of_sync: u64,
    is_stacked: bool,
) -> Result<Snapshot, Trouble> {
    let name = name(choice, origin, is_stacked)?;
    let share = origin.size.checked_mul(choice.percent).map(|product| product / 100);
    let size = share
        .and_then(|share| share.checked_add(out_of_sync))
        .and_then(|size| size.checked_add(choice.additional));
    match size {
        Some(0) => Err(Trouble::Unsuitable("Nothing is to be kept".to_owned())),
        Some(size) => Ok(Snapshot { name, size }),
        None => Err(Trouble::Unsuitable("Its size would be beyond all bounds".to_owned())),
    }
}

/// How it is made.
pub(super) fn create(lvcreate: Call, choice: &Choice, origin: &Origin, made: &Snapshot) -> Call {
    let Origin { volume_group, logical_volume, .. } = origin;
    lvcreate
        .args(["--config", NO_DRBD, "-s", "-n", &made.name, "-L", &format!("{}k", made.size)])
        .args(&choice.lvcreate)
        .arg(format!("{volume_group}/{logical_volume}"))
}

/// What a volume is a snapshot of.
pub(super) fn ask_origin(lvs: Call, snapshot: &str) -> Call {
    lvs.args(["--config", NO_DRBD, "--noheadings", "-o", "origin", snapshot])
}

/// The same, and how the snapshot is.
pub(super) fn ask_state(lvs: Call, snapshot: &str) -> Call {
    lvs.args(["--config", NO_DRBD, "--noheadings", "-o", "origin,lv_attr", snapshot])
}

/// Whether lvs said to that that it is a snapshot of this volume, active, and has not run out of room.
pub(super) fn is_good(said: &str, origin: &Origin) -> bool {
    let words: Vec<&str> = said.split_whitespace().collect();
    let [of, attributes] = words[..] else { return false };
    let letter = |place: usize| attributes.as_bytes().get(place).copied();
    of == origin.logical_volume && letter(0) == Some(b's') && letter(4) == Some(b'a')
}

/// How it is removed, without a question.
pub(super) fn remove(lvremove: Call, snapshot: &str) -> Call {
    lvremove.args(["--config", NO_DRBD, "-f", snapshot])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> Origin {
        origin("  vg0 web 1073741824\n").unwrap()
    }

    #[test]
    fn what_lvs_says_is_one_volume_or_none() {
        let size = 1024 * 1024;
        let expected = Origin { volume_group: "vg0".into(), logical_volume: "web".into(), size };
        assert_eq!(web(), expected);
        for said in [
            "",
            "\n",
            "vg0 web",
            "vg0 web 1g",
            "vg0 web 1024.00",
            "vg0 web -1024",
            "vg0 web 0",
            "vg0 [web] 1073741824",
            "-f web 1073741824",
            "vg0 .. 1073741824",
            "vg0 web 1073741824\nvg1 web 1073741824\n",
            "vg0 we\u{e4} 1073741824",
        ] {
            assert!(matches!(origin(said), Err(Trouble::Unsuitable(_))), "{said}");
        }
    }

    #[test]
    fn the_size_is_what_is_out_of_sync_and_more() {
        let choice = Choice::default();
        let made = snapshot(&choice, &web(), 2000, false).unwrap();
        assert_eq!((made.name.as_str(), made.size), ("web-before-resync", 2000 + 10_240 + 104_857));
        let made = snapshot(&choice, &web(), 0, true).unwrap();
        assert_eq!(made.name, "web-before-resync-stacked");
    }

    #[test]
    fn sizes_that_cannot_be_are_refused() {
        let choice = |percent, additional| Choice { percent, additional, ..Choice::default() };
        for (choice, out_of_sync) in [
            (choice(0, 0), 0),
            (choice(u64::MAX, 0), 0),
            (choice(10, u64::MAX), 1),
            (choice(10, 0), u64::MAX),
        ] {
            let made = snapshot(&choice, &web(), out_of_sync, false);
            assert!(matches!(made, Err(Trouble::Unsuitable(_))), "{choice:?}");
        }
    }

    #[test]
    fn a_snapshot_without_room_or_of_another_volume_is_not_good() {
        for (said, is) in [
            ("  web swi-a-s---\n", true),
            ("  web swi-I-s---\n", false),
            ("  web Swi-a-s---\n", false),
            ("  web swi---s---\n", false),
            ("  web2 swi-a-s---\n", false),
            ("  -wi-a-----\n", false),
            ("  web swi\n", false),
            ("", false),
        ] {
            assert_eq!(is_good(said, &web()), is, "{said}");
        }
    }

    #[test]
    fn a_snapshot_is_never_called_as_its_origin_is() {
        for chosen in ["web", "", "-f", "../web", "a b", &"x".repeat(200)] {
            let choice = Choice { name: Some(chosen.to_owned()), ..Choice::default() };
            assert!(name(&choice, &web(), false).is_err(), "{chosen}");
        }
    }
}
