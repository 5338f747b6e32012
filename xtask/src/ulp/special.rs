//! The values at infinity, zero and NaN.

use wgrad::{Device, Result};

use crate::selection::Function;

/// The arguments, with the names that they have in a record.
pub const POINTS: [(&str, f32); 5] = [
    ("minus_inf", f32::NEG_INFINITY),
    ("minus_zero", -0.0),
    ("zero", 0.0),
    ("inf", f32::INFINITY),
    ("nan", f32::NAN),
];

/// What a device returns at each point, and what is not the exact value there.
///
/// The values have to be the reference's to the last bit, the sign of a zero aside, so they are the
/// same on all devices.
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
