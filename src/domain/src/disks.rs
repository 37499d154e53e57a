//! Which files a definition XML has its disks on: `/domain/devices/disk/source/@file`. Invariant: nothing elsewhere in
//! the document counts, whatever it is called.

use quick_xml::{
    Reader,
    events::{BytesStart, Event},
};

const SOURCE: [&[u8]; 4] = [b"domain", b"devices", b"disk", b"source"];

/// The files, in the order of the document. Of a document that is not well-formed, those before the fault:
/// [`crate::Definition::parse`] is what judges it.
#[must_use]
pub fn disk_files(document: &str) -> Vec<String> {
    let mut reader = Reader::from_str(document.trim_start_matches('\u{feff}'));
    let (mut depth, mut fitting, mut files) = (0_usize, 0_usize, Vec::new());
    loop {
        let (tag, is_empty) = match reader.read_event() {
            Ok(Event::Start(tag)) => (tag, false),
            Ok(Event::Empty(tag)) => (tag, true),
            Ok(Event::End(_)) => {
                depth = depth.saturating_sub(1);
                fitting = fitting.min(depth);
                continue;
            }
            Ok(Event::Eof) | Err(_) => return files,
            Ok(_) => continue,
        };
        let fits = fitting == depth && SOURCE.get(depth) == Some(&tag.name().as_ref());
        if fits && depth + 1 == SOURCE.len() {
            files.extend(file(&tag));
        }
        if !is_empty {
            depth += 1;
            if fits {
                fitting = depth;
            }
        }
    }
}

fn file(source: &BytesStart<'_>) -> Option<String> {
    let attribute = source.try_get_attribute("file").ok()??;
    Some(attribute.unescape_value().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_of_disks_count() {
        let document = "\u{feff}<?xml version='1.0'?><domain><metadata><devices><disk><source file='/no1'/></disk></devices>\
            </metadata><!-- <disk><source file='/no2'/></disk> --><devices><emulator>/no3</emulator>\
            <disk type='file'><driver name='qemu'/><source file='/srv/a&amp;b.qcow2' index='1'><x file='/no4'/></source>\
            <backingStore><source file='/no5'/></backingStore></disk>\n<disk type=\"file\"><source\nfile=\"/two words\"/>\
            </disk><disk type='block'><source dev='/dev/sda'/></disk><filesystem><source file='/no6'/></filesystem>\
            </devices><disk><source file='/no7'/></disk></domain>";
        assert_eq!(disk_files(document), ["/srv/a&b.qcow2", "/two words"]);
    }

    #[test]
    fn a_broken_document_has_what_comes_before_the_fault() {
        for document in ["", "<", "<domain>", "</a></b>", "<domain><devices><disk><source file=>"] {
            assert_eq!(disk_files(document), Vec::<String>::new(), "{document}");
        }
    }
}
