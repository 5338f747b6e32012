//! burn on a GPU: its wgpu backend, with fusion and tuning as by default.

#[path = "../../burn/src/work.rs"]
mod work;

use burn::tensor::{Device, DeviceKind};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = Device::wgpu(DeviceKind::default());
    common::main(&arguments, |case| work::prepare(&device, case));
}
