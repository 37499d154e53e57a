//! The identity that a start leaves behind, so that a definition which has become unreadable, or was edited
//! meanwhile, cannot hide a running guest. Invariant: a file that is not exactly what was written here is
//! no identity, and is told from no file at all: somebody was started here then.

use std::{io, path::Path};

use duet_domain::Uuid;
use duet_host::file;
use duet_ocf::chain;

use crate::{config::Config, observe::Identity};

/// What is remembered from the moment on in which libvirt is asked to start the domain; the path of the definition
/// follows.
const STARTING: &str = "starting\n";
/// What a stop makes of that where libvirt has no such domain: it may still carry the order out.
const GIVEN_UP: &str = "given up\n";
/// What the first means to whoever looks.
pub(crate) const BEGUN: &str = "a start was begun here and not seen to succeed";
/// A name, a UUID and a path are far shorter.
const LIMIT: usize = 64 * 1024;

/// The latest start here, where it was not seen to succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// It was begun, and nobody has stopped the domain since.
    Begun,
    /// A stop has seen that there is no such domain. libvirt may have had the order all the same, and carry it out later:
    /// the domain is created standing still, and has to be told from one that a person has paused.
    GivenUp,
}

/// What is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Recalled {
    /// Nothing.
    Nobody,
    /// This domain was seen running here.
    Ran(Identity),
    /// A start.
    Unfinished(Unfinished),
}

/// Who was started here from this definition file. What another file left behind is somebody else: without
/// a resource's name (a call by hand) all agents share one memory, and a resource can be made anew.
///
/// # Errors
/// Something is remembered, but not what.
pub(crate) fn recall(config: &Config) -> Result<Recalled, String> {
    let text = match file::read_private(&config.memory, LIMIT) {
        Ok(text) => text,
        Err(error) if error.is_missing_file() => return Ok(Recalled::Nobody),
        Err(error) => return Err(chain(&error)),
    };
    let is_ours = |definition: &str| definition == config.definition.to_string_lossy();
    let recalled = match (parse(&text), of_start(&text)) {
        (Some((identity, definition)), _) if is_ours(definition) => Recalled::Ran(identity),
        (None, Some((unfinished, definition))) if is_ours(definition) => {
            Recalled::Unfinished(unfinished)
        }
        // Whose does not matter: it may still come.
        (None, Some((Unfinished::Begun, _))) => return Err(BEGUN.to_owned()),
        (Some(_), _) | (None, Some((Unfinished::GivenUp, _))) => Recalled::Nobody,
        (None, None) => return Err(format!("{} is damaged", config.memory.display())),
    };
    Ok(recalled)
}

/// What has become of a start, and from which definition it was.
fn of_start(text: &str) -> Option<(Unfinished, &str)> {
    let (unfinished, rest) = match text.strip_prefix(STARTING) {
        Some(rest) => (Unfinished::Begun, rest),
        None => (Unfinished::GivenUp, text.strip_prefix(GIVEN_UP)?),
    };
    let definition = rest.strip_prefix("config=")?.strip_suffix('\n')?;
    (!definition.is_empty()).then_some((unfinished, definition))
}

fn render_start(word: &str, definition: &str) -> String {
    format!("{word}config={definition}\n")
}

/// The UUID in somebody else's memory, if that is one. What was started from this very definition is ours, by hand or
/// under another name of the resource.
pub(crate) fn whose(path: &Path, definition: &Path) -> Option<Uuid> {
    let name = path.file_name()?.to_str()?;
    if !name.starts_with("VirtualDomain-") || !name.ends_with(".identity") {
        return None;
    }
    let text = file::read_private(path, LIMIT).ok()?;
    let (identity, theirs) = parse(&text)?;
    identity.uuid.filter(|_| theirs != definition.to_string_lossy())
}

/// Keeps it.
pub(crate) fn keep(config: &Config, identity: &Identity) -> Result<(), duet_host::Error> {
    write(&config.memory, &render(identity, &config.definition.to_string_lossy()))
}

/// Remembers, in place of who was seen running before, that libvirt is going to be asked to start the domain: should it
/// fall silent now, it may carry the order out at any later time.
///
/// # Errors
/// That could not be written: then nothing must be started.
pub(crate) fn begin(config: &Config) -> Result<(), duet_host::Error> {
    write(&config.memory, &render_start(STARTING, &config.definition.to_string_lossy()))
}

/// Remembers, in place of a start that was begun, that a stop has given it up.
pub(crate) fn give_up(config: &Config) -> Result<(), duet_host::Error> {
    write(&config.memory, &render_start(GIVEN_UP, &config.definition.to_string_lossy()))
}

/// Writes what is ours alone to read and to write. The directory is there on every node with resource agents, and made
/// where it is not.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), duet_host::Error> {
    if let Some(directory) = path.parent() {
        // Whether it worked shows in the writing.
        let _ = std::fs::create_dir_all(directory);
    }
    // Replacing keeps owner and mode and follows links, which is wrong for what could not be trusted.
    if file::read_private(path, LIMIT).is_err() {
        let _ = forget(path);
    }
    file::write_atomic(path, text.as_bytes(), 0o600)
}

/// Forgets it.
pub(crate) fn forget(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(()),
        // A read-only file system says that it is one even of what is not there.
        Err(_) if is_missing(path) => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_missing(path: &Path) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    path.symlink_metadata().is_err_and(|error| matches!(error.kind(), NotFound | NotADirectory))
}

/// libvirt allows no line break in a name, so lines are enough; the path is the rest, whatever is in it.
fn render(identity: &Identity, definition: &str) -> String {
    let uuid = identity.uuid.map(|uuid| uuid.to_string()).unwrap_or_default();
    format!("uuid={uuid}\nname={}\nconfig={definition}\n", identity.name)
}

fn parse(text: &str) -> Option<(Identity, &str)> {
    let (uuid, rest) = text.strip_prefix("uuid=")?.strip_suffix('\n')?.split_once("\nname=")?;
    let (name, definition) = rest.split_once("\nconfig=")?;
    if name.is_empty() || name.contains('\n') || definition.is_empty() {
        return None;
    }
    let uuid = if uuid.is_empty() { None } else { Some(uuid.parse().ok()?) };
    Some((Identity { name: name.to_owned(), uuid }, definition))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_recalled(name in "[^\n]{1,40}", uuid: Option<[u8; 16]>, path in "/.{0,40}") {
            let uuid = uuid.map(duet_domain::Uuid::from_bytes);
            let identity = Identity { name, uuid };
            let text = render(&identity, &path);
            prop_assert_eq!(parse(&text), Some((identity, path.as_str())));
        }

        #[test]
        fn any_other_text_is_nobody(text in ".{0,60}") {
            prop_assert_eq!(parse(&text), None);
        }
    }

    #[test]
    fn a_start_is_recalled_with_the_definition_that_it_was_from() {
        for (word, unfinished) in [(STARTING, Unfinished::Begun), (GIVEN_UP, Unfinished::GivenUp)] {
            for path in ["/srv/web.xml", "/srv/two\nlines.xml"] {
                let text = render_start(word, path);
                assert_eq!(of_start(&text), Some((unfinished, path)));
                assert_eq!(parse(&text), None);
                for length in 0..text.len() {
                    let half = of_start(&text[..length]);
                    assert!(half.is_none_or(|(_, half)| half != path), "{length}");
                }
            }
        }
        assert_eq!(of_start("uuid=\nname=web\nconfig=/x\n"), None);
    }

    #[test]
    fn half_a_file_is_nobody() {
        let uuid = "c7a5fdbd-edaf-9455-926a-d65c16db1809";
        let whole = format!("uuid={uuid}\nname=web\nconfig=/srv/web.xml\n");
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length}");
        }
        assert!(parse(&whole).is_some());
        assert_eq!(parse("uuid=zz\nname=web\nconfig=/x\n"), None);
        assert_eq!(parse("uuid=\nname=a\nb\nconfig=/x\n"), None);
        assert_eq!(parse("uuid=\nname=a\n"), None);
    }
}
