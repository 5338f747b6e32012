//! Compiled kernels that are kept on disk.

mod common;

use std::path::{Path, PathBuf};

use wgrad::{Activation, Device, DeviceInfo, DeviceOptions, wgpu};

fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("wgrad-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&directory);
    directory
}

/// Opens the device, computes and closes it.
fn compute(info: &DeviceInfo, directory: &Path) {
    let options = DeviceOptions::from(info).kernel_cache(directory);
    let device = pollster::block_on(Device::request(options)).unwrap();
    let z = device.tensor(&[-1.0, 2.0, 0.0], [3]).unwrap();
    let y = Activation::Relu.forward(&z).unwrap();
    assert_eq!(y.to_vec().unwrap(), [0.0, 2.0, 0.0], "on {info}");
}

/// The only file in the directory, which is used for one adapter.
fn file(directory: &Path) -> PathBuf {
    let files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files[0].clone()
}

fn can_store(info: &DeviceInfo) -> bool {
    info.features.contains(wgpu::Features::PIPELINE_CACHE)
}

#[test]
fn kernels_are_stored_and_found_again() {
    for (i, device) in common::adapters().iter().enumerate() {
        let (info, directory) = (device.info(), directory(&format!("stored-{i}")));
        for _ in 0..2 {
            compute(info, &directory);
            assert_eq!(directory.exists(), can_store(info), "on {info}");
        }
        if can_store(info) {
            assert!(!std::fs::read(file(&directory)).unwrap().is_empty());
            std::fs::remove_dir_all(directory).unwrap();
        }
    }
}

#[test]
fn a_file_that_is_spoilt_does_no_harm() {
    for (i, device) in common::adapters().iter().enumerate() {
        let (info, directory) = (device.info(), directory(&format!("spoilt-{i}")));
        if !can_store(info) {
            continue;
        }
        compute(info, &directory);
        let file = file(&directory);
        for spoilt in [vec![], vec![0xab; 1000], std::fs::read(&file).unwrap()[..20].to_vec()] {
            std::fs::write(&file, &spoilt).unwrap();
            compute(info, &directory);
            assert_ne!(std::fs::read(&file).unwrap(), spoilt, "it is written anew on {info}");
        }
        std::fs::remove_dir_all(directory).unwrap();
    }
}

#[test]
fn a_directory_that_cannot_be_does_no_harm() {
    let path = directory("no-directory");
    std::fs::write(&path, "a file").unwrap();
    for device in common::adapters() {
        compute(device.info(), &path);
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"a file");
    std::fs::remove_file(path).unwrap();
}
