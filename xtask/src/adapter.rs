//! Makes sure that there is a GPU adapter, if only a software one.

use std::process::Command;

use crate::command::{cargo, status, succeed};

/// The exit code of `examples/adapters.rs` if there is no adapter.
const NO_ADAPTER: i32 = 2;

/// Checks every adapter. If there is none, installs Mesa's on Debian and its relatives.
pub fn ensure() -> Result<(), String> {
    let check = || {
        status(&mut cargo(&["run", "--release", "--example", "adapters", "--", "--require-gpu"]))
    };
    let first = check()?;
    if first.success() {
        return Ok(());
    }
    if first.code() != Some(NO_ADAPTER) {
        return Err("an adapter fails its self-check; see above".to_owned());
    }
    install()?;
    if check()?.success() {
        return Ok(());
    }
    Err("there is still no working GPU adapter; see above".to_owned())
}

fn install() -> Result<(), String> {
    if !cfg!(target_os = "linux") || !exists("apt-get") {
        return Err("\
The tests need a GPU adapter, hardware or software, and there is none.
  Linux: install your GPU's Vulkan driver, or Mesa's software one (Fedora: mesa-vulkan-drivers;
         Arch: vulkan-swrast; Alpine: mesa-vulkan-swrast).
  Windows: any DX12 driver; WARP comes with Windows 10 and later.
  macOS: Metal is part of the system; in a virtual machine it has to be passed through."
            .to_owned());
    }
    println!("No GPU adapter: installing Mesa's software Vulkan driver (lavapipe).");
    let elevate = if is_root() { None } else { Some("sudo") };
    let apt = |arguments: &[&str]| {
        let mut words: Vec<&str> = elevate.into_iter().chain(["apt-get"]).collect();
        words.extend(arguments);
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive");
        succeed(&mut command)
    };
    apt(&["update", "-qq"])?;
    apt(&["install", "-y", "-qq", "--no-install-recommends", "mesa-vulkan-drivers", "libvulkan1"])
}

fn exists(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
