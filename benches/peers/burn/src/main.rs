//! burn on the CPU: its flex backend.

mod work;

use burn::tensor::Device;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let device = Device::flex();
    common::main(&arguments, |case| work::prepare(&device, case));
}
