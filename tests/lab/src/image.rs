//! The image all nodes run from: a Debian root tree, a kernel, an initrd and a disk made from the
//! tree, built once and kept in the cache under a name that changes with everything that goes in.
//! An image is used only when it is complete, to the size of every file in it.

mod build;
mod mirror;
mod needs;
mod suite;

pub(crate) use needs::require_root;

use crate::command;
use crate::failure::{Failure, Result};
use crate::place::{self, Place};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const RECIPE: &str = include_str!("../image/recipe.sh");
const INITRD_INIT: &str = include_str!("../image/initrd-init");
/// Far above the minute or two it takes; below CI's patience.
const BUILD_BOUND: Duration = Duration::from_secs(25 * 60);

/// A complete image.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) dir: PathBuf,
}

/// The image for a Debian release, built if the cache has none, a half-built or a damaged one.
pub(crate) fn ready(place: &Place, suite: &str, tell: &mut dyn FnMut(&str)) -> Result<Image> {
    if suite.is_empty() || !suite.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Failure::Refused(format!("{suite:?} is not the name of a Debian release")));
    }
    place.create()?;
    let image = Image { dir: place.cache.join(format!("{suite}-{}", key(suite))) };
    let _lock = place::lock(&place.cache.join(format!("{suite}.lock")), || {
        format!(
            "Another command is building the {suite} image in {}: wait for it",
            place.cache.display()
        )
    })
    .or_else(|_| wait_for_builder(place, suite, tell))?;
    if image.dir.exists() {
        match damage(&image) {
            None => return Ok(image),
            Some(what) => {
                tell(&format!(
                    "the image {} is damaged ({what}): building it again",
                    image.dir.display()
                ));
                remove(&image.dir)?;
            }
        }
    }
    for stale in left_over(place, suite) {
        tell(&format!(
            "removing {}, left by a build that did not end or an older lab",
            stale.display()
        ));
        remove(&stale)?;
    }
    build::build(place, suite, &image, tell)?;
    Ok(image)
}

/// Somebody else is building what we need: that is worth waiting for.
fn wait_for_builder(place: &Place, suite: &str, tell: &mut dyn FnMut(&str)) -> Result<place::Lock> {
    tell(&format!("waiting for another command that is building the {suite} image"));
    let lock = duet_oracle::eventually(BUILD_BOUND, "the other build of the image to end", || {
        place::lock(&place.cache.join(format!("{suite}.lock")), || "still building".to_owned())
            .map_err(|error| error.to_string())
    })?;
    Ok(lock)
}

/// Names of the image: a digest of everything that decides what is in it.
fn key(suite: &str) -> String {
    let mut digest = Sha256::new();
    // What only this release has comes last, so that others keep the names they have.
    let parts = [suite, suite::PACKAGES, RECIPE, INITRD_INIT, std::env::consts::ARCH];
    let parts = parts.into_iter().chain(suite::difference(suite));
    for part in parts {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

/// Half-built trees and images of older recipes for the same release.
fn left_over(place: &Place, suite: &str) -> Vec<PathBuf> {
    let prefix = format!("{suite}-");
    fs::read_dir(&place.cache)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}

fn remove(dir: &Path) -> Result<()> {
    // `rm` stays on this file system, should anything still be mounted below.
    command::run(
        &["rm", "-rf", "--one-file-system", "--", &dir.to_string_lossy()],
        Duration::from_secs(120),
    )?
    .success("removing an old image")
    .map(drop)
}

/// Path and size of every file, one a line, and of the disk its time too.
fn manifest(dir: &Path) -> std::io::Result<String> {
    let mut lines = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            let path = entry.path();
            if meta.is_dir() {
                open.push(path);
            } else if meta.is_file() && entry.file_name() != "manifest" {
                let name = path.strip_prefix(dir).unwrap_or(&path).display();
                lines.push(format!("{} {name}", meta.size()));
            }
        }
    }
    lines.sort_unstable();
    Ok(lines.join("\n"))
}

/// What is wrong with an image that lies in the cache, if anything is.
fn damage(image: &Image) -> Option<String> {
    let Ok(recorded) = fs::read_to_string(image.dir.join("manifest")) else {
        return Some("it has no manifest: its build did not end".to_owned());
    };
    for name in ["base.img", "initrd.img", "vmlinuz"] {
        if !recorded.lines().any(|line| line.ends_with(&format!(" {name}"))) {
            return Some(format!("its manifest does not list {name}"));
        }
    }
    recorded.lines().find_map(|line| {
        let (size, name) = line.split_once(' ')?;
        match fs::symlink_metadata(image.dir.join(name)) {
            Err(_) => Some(format!("{name} is gone")),
            Ok(meta) if meta.size().to_string() != size => Some(format!("{name} has another size")),
            Ok(_) => None,
        }
    })
}

/// Writes a file that everybody may read, making its directory.
pub(crate) fn write(path: &Path, text: &[u8]) -> Result<()> {
    let doing = || format!("write {}", path.display());
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(Failure::io(doing()))?;
    }
    let mut file = fs::File::create(path).map_err(Failure::io(doing()))?;
    file.write_all(text).map_err(Failure::io(doing()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small_image(dir: &Path) -> Image {
        let image = Image { dir: dir.to_owned() };
        for (name, text) in
            [("base.img", "disk"), ("vmlinuz", "kernel"), ("initrd.img", "i"), ("tree/bin/sh", "x")]
        {
            write(&dir.join(name), text.as_bytes()).unwrap();
        }
        fs::write(dir.join("manifest"), manifest(dir).unwrap()).unwrap();
        image
    }

    #[test]
    fn a_complete_image_is_not_damaged() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(damage(&small_image(dir.path())), None);
    }

    #[test]
    fn a_half_built_image_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let image = small_image(dir.path());
        fs::remove_file(dir.path().join("manifest")).unwrap();
        assert!(damage(&image).unwrap().contains("did not end"));
    }

    #[test]
    fn a_missing_or_cut_file_is_damage() {
        let dir = tempfile::tempdir().unwrap();
        let image = small_image(dir.path());
        fs::write(dir.path().join("base.img"), "dis").unwrap();
        assert!(damage(&image).unwrap().contains("base.img has another size"));
        fs::write(dir.path().join("base.img"), "disk").unwrap();
        fs::remove_file(dir.path().join("tree/bin/sh")).unwrap();
        assert!(damage(&image).unwrap().contains("tree/bin/sh is gone"));
    }

    #[test]
    fn the_key_changes_with_the_release() {
        assert_ne!(key("bookworm"), key("trixie"));
        assert_eq!(key("bookworm"), key("bookworm"));
    }

    /// Elsewhere, images would be built again, and running labs robbed of theirs, for a list that is not theirs.
    #[test]
    fn the_key_of_one_release_does_not_depend_on_what_another_has_otherwise() {
        let mut digest = Sha256::new();
        for part in ["bookworm", suite::PACKAGES, RECIPE, INITRD_INIT, std::env::consts::ARCH] {
            digest.update(u64::try_from(part.len()).unwrap().to_be_bytes());
            digest.update(part);
        }
        let common: Vec<String> =
            digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(key("bookworm"), common.concat());
    }
}
