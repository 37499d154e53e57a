//! Builds an image by the recipe: in a directory of its own beside the cache's images, renamed into place
//! only when it is complete and its manifest is written.

use super::mirror::{Mirror, apt_settings};
use super::{BUILD_BOUND, INITRD_INIT, Image, RECIPE, manifest, needs, suite};
use crate::command;
use crate::failure::{Failure, Result};
use crate::place::Place;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

pub(super) fn build(
    place: &Place,
    suite: &str,
    image: &Image,
    tell: &mut dyn FnMut(&str),
) -> Result<()> {
    needs::require_root()?;
    needs::require_debootstrap()?;
    needs::require_space(&place.cache)?;
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
        .env("PACKAGES", suite::packages(suite).join(" "))
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
