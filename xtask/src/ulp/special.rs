//! Checks the values at infinity, zero and NaN.

use wgrad::{Device, Result};

use crate::selection::Function;

/// The arguments, with their names in a record.
pub const POINTS: [(&str, f32); 5] = [
    ("minus_inf", f32::NEG_INFINITY),
    ("minus_zero", -0.0),
    ("zero", 0.0),
    ("inf", f32::INFINITY),
    ("nan", f32::NAN),
];

/// Returns what a device computes at each point, and which of these values are not exact.
///
/// Apart from the sign of a zero, the values have to equal the reference to the last bit, so they are the same
/// on all devices.
pub fn check(function: Function, device: &Device) -> Result<([f32; 5], Vec<String>)> {
    let arguments = POINTS.map(|(_, x)| x);
    let found = function.on_device(device, &arguments)?;
    let exact = function.exactly(&arguments.map(f64::from));
    let mut values = [f32::NAN; 5];
    let mut faults = Vec::new();
    for (i, (value, exact)) in found.into_iter().zip(exact).enumerate() {
        values[i] = value;
        if value != exact as f32 && !(value.is_nan() && exact.is_nan()) {
            faults.push(format!("{value:?} at {:?} should be {:?}", arguments[i], exact as f32));
        }
    }
    Ok((values, faults))
}
