//! The image all nodes run from: a Debian root tree, a kernel, an initrd and a disk made from the
//! tree, built once and kept in the cache under a name that changes with everything that goes in.
//! An image is used only when it is complete, to the size of every file in it.

use crate::command;
use crate::failure::{Failure, Result};
use crate::place::{self, Place};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const PACKAGES: &str = include_str!("../image/packages");
const RECIPE: &str = include_str!("../image/recipe.sh");
const INITRD_INIT: &str = include_str!("../image/initrd-init");
/// The tree and the disk together, with room for what is unpacked on the way.
const NEEDED_MIB: u64 = 3300;
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
    build(place, suite, &image, tell)?;
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
    for part in [suite, PACKAGES, RECIPE, INITRD_INIT, std::env::consts::ARCH] {
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

fn build(place: &Place, suite: &str, image: &Image, tell: &mut dyn FnMut(&str)) -> Result<()> {
    require_root()?;
    require_debootstrap()?;
    require_space(&place.cache)?;
    let began = Instant::now();
    let building = place.cache.join(format!("{suite}-building"));
    fs::create_dir_all(&building).map_err(Failure::io(format!("create {}", building.display())))?;
    let log = place.cache.join(format!("{suite}.log"));
    let mirror = Mirror::of_this_machine()?;
    let initrd_init = building.join("initrd-init");
    fs::write(&initrd_init, INITRD_INIT)
        .map_err(Failure::io("write the initrd's first program"))?;
    tell(&format!("building the {suite} image (once; about two minutes)"));
    run_recipe(&building, &log, suite, &mirror, &initrd_init, tell)?;
    fs::remove_file(&initrd_init).map_err(Failure::io("remove the initrd's first program"))?;
    let manifest = manifest(&building).map_err(Failure::io("list the new image"))?;
    fs::write(building.join("manifest"), manifest)
        .map_err(Failure::io("write the image's manifest"))?;
    fs::rename(&building, &image.dir).map_err(Failure::io("put the new image into place"))?;
    tell(&format!(
        "image built in {:.0} s: {}",
        began.elapsed().as_secs_f64(),
        image.dir.display()
    ));
    Ok(())
}

fn run_recipe(
    out: &Path,
    log: &Path,
    suite: &str,
    mirror: &Mirror,
    initrd_init: &Path,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    let failed = |why: String| Failure::Build {
        doing: format!("Building the {suite} image"),
        why,
        log: log.to_owned(),
    };
    let errors = fs::File::create(log).map_err(Failure::io(format!("create {}", log.display())))?;
    let bound = BUILD_BOUND.as_secs().to_string();
    let mut child = Command::new("timeout")
        .args(["-k", "5", &bound, "unshare", "--mount", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "sh", "-c", RECIPE, "recipe"])
        .env("OUT", out)
        .env("SUITE", suite)
        .env("MIRROR", &mirror.main)
        .env("SOURCES", mirror.sources(suite))
        .env("APT_CONF", apt_settings().join(" "))
        .env("PACKAGES", package_names())
        .env("INITRD_INIT", initrd_init)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(Failure::io("start the image recipe"))?;
    let stdout = child.stdout.take().expect("stdout was asked for");
    let mut last = String::new();
    for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
        tell(&line);
        last = line;
    }
    let status = child.wait().map_err(Failure::io("wait for the image recipe"))?;
    match command::status(status) {
        0 => Ok(()),
        124 => Err(failed(format!("no end within {bound} s, at the step: {last}"))),
        _ => {
            let text = fs::read_to_string(log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            let tail = lines[lines.len().saturating_sub(6)..].join("\n    ");
            let network = text.contains("Failed getting release file")
                || text.contains("Could not resolve")
                || text.contains("Failed to fetch")
                || text.contains("Could not connect");
            let cure = if network {
                "\n  the package mirror that this machine's apt uses cannot be reached: \
                 `apt-get update` must work here first"
            } else {
                ""
            };
            Err(failed(format!("at the step \"{last}\":\n    {tail}{cure}")))
        }
    }
}

fn package_names() -> String {
    PACKAGES
        .lines()
        .filter(|line| !line.starts_with('#'))
        .flat_map(str::split_whitespace)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Where this machine's own apt gets Debian from.
struct Mirror {
    main: String,
    security: Option<String>,
}

impl Mirror {
    fn of_this_machine() -> Result<Self> {
        let listed = command::run(
            &[
                "apt-get",
                "indextargets",
                "--format",
                "$(REPO_URI) $(CODENAME)",
                "Created-By: Packages",
            ],
            Duration::from_secs(30),
        )?
        .success("asking apt for its mirror")?;
        Self::from_targets(&listed).ok_or_else(|| Failure::Missing {
            what: "This machine's apt names no Debian mirror".to_owned(),
            cure: "add one to /etc/apt/sources.list and run apt-get update".to_owned(),
        })
    }

    fn from_targets(listed: &str) -> Option<Self> {
        let rows = || listed.lines().filter_map(|line| line.split_once(' '));
        let main =
            rows().find(|(uri, codename)| !codename.contains('-') && !uri.contains("security"))?;
        let security = rows().find(|(_, codename)| codename.ends_with("-security"));
        Some(Self { main: main.0.to_owned(), security: security.map(|row| row.0.to_owned()) })
    }

    fn sources(&self, suite: &str) -> String {
        let mut lines = vec![
            format!("deb {} {suite} main", self.main),
            format!("deb {} {suite}-updates main", self.main),
        ];
        lines.extend(self.security.iter().map(|uri| format!("deb {uri} {suite}-security main")));
        lines.join("\n")
    }
}

/// Files of this machine's apt that say how to reach a mirror: proxies and trust.
fn apt_settings() -> Vec<String> {
    fs::read_dir("/etc/apt/apt.conf.d")
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            fs::read_to_string(entry.path()).is_ok_and(|text| {
                text.lines().any(|line| line.trim_start().starts_with("Acquire::"))
            })
        })
        .map(|entry| entry.path().to_string_lossy().into_owned())
        .collect()
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

/// Root, and nothing else of this machine, is needed by every lab command that changes anything.
pub(crate) fn require_root() -> Result<()> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    Err(Failure::Missing {
        what: "The labs need root: they make namespaces, bridges and mounts of their own"
            .to_owned(),
        cure: "run the same command with sudo, or as root".to_owned(),
    })
}

fn require_debootstrap() -> Result<()> {
    let found = ["/usr/sbin/debootstrap", "/usr/bin/debootstrap"]
        .iter()
        .any(|path| Path::new(path).exists());
    if found {
        return Ok(());
    }
    Err(Failure::Missing {
        what: "debootstrap is not installed".to_owned(),
        cure: "make deps (or: apt-get install debootstrap)".to_owned(),
    })
}

fn require_space(cache: &Path) -> Result<()> {
    let stat = nix::sys::statvfs::statvfs(cache).map_err(|errno| {
        Failure::io(format!("ask for the space in {}", cache.display()))(errno.into())
    })?;
    let free = stat.blocks_available() * stat.fragment_size() / (1024 * 1024);
    if free >= NEEDED_MIB {
        return Ok(());
    }
    Err(Failure::Missing {
        what: format!("{} has {free} MiB free, the image needs {NEEDED_MIB}", cache.display()),
        cure: "make room, or set DUET_LAB_CACHE to a directory that has it".to_owned(),
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

    #[test]
    fn the_mirror_is_the_one_apt_uses() {
        let listed = "http://mirror.test/debian-security/ bookworm-security\n\
                      http://mirror.test/debian/ bookworm\nhttp://mirror.test/debian/ bookworm-updates\n";
        let mirror = Mirror::from_targets(listed).unwrap();
        assert_eq!(
            mirror.sources("trixie"),
            "deb http://mirror.test/debian/ trixie main\n\
             deb http://mirror.test/debian/ trixie-updates main\n\
             deb http://mirror.test/debian-security/ trixie-security main"
        );
        assert!(Mirror::from_targets("").is_none());
    }

    #[test]
    fn too_little_space_is_said_with_both_numbers() {
        // /proc has no blocks at all.
        let error = require_space(Path::new("/proc")).unwrap_err().to_string();
        assert!(error.contains("0 MiB free") && error.contains("DUET_LAB_CACHE"), "{error}");
    }
}
