//! Checks of the values of outputs and targets.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::targets::TargetValues;
use super::{Loss, Targets};
use crate::backend::{Bounds, Extreme};
use crate::device::plan::Check;
use crate::device::tensor::Tensor;
use crate::error::{Error, Result};

/// Checks that the elements of a tensor that a loss is given lie in a range, as far as the host knows them;
/// NaN is allowed. The reason becomes part of the message: "must be from 0 to 1".
pub(crate) fn check_values(
    loss: &str,
    tensor: &Tensor,
    range: RangeInclusive<f32>,
    reason: &str,
) -> Result<()> {
    let Some(bounds) = tensor.bounds()? else { return Ok(()) };
    let outside = |extreme: &Extreme| !range.contains(&extreme.value);
    let Some(Extreme { value, index }) = [bounds.least, bounds.greatest].into_iter().find(outside)
    else {
        return Ok(());
    };
    let width = tensor.as_rows().width.max(1);
    Err(Error::InvalidTarget {
        loss: loss.to_owned(),
        row: index / width,
        column: index % width,
        value,
        reason: reason.to_owned(),
    })
}

/// Checks that the loss is defined for y, as far as the host knows it; in a plan, at each run.
pub(crate) fn check_outputs(loss: &Loss, y: &Tensor, targets: &Targets) -> Result<()> {
    if loss.output_range().is_none() {
        return Ok(());
    }
    if y.device().is_recording() {
        let (loss, known, targets) = (*loss, y.clone(), targets.clone());
        let run = Arc::new(move || check_known_outputs(&loss, &known, &targets));
        y.device().keep_check(Check { of: y.storage().clone(), run });
    }
    check_known_outputs(loss, y, targets)
}

fn check_known_outputs(loss: &Loss, y: &Tensor, targets: &Targets) -> Result<()> {
    let Some((range, reason)) = loss.output_range() else { return Ok(()) };
    // Rows with the weight 0 may hold anything.
    let may_be_0 = |weights: &Tensor| -> Result<bool> {
        Ok(weights.bounds()?.is_none_or(|bounds| bounds.least.value <= 0.0))
    };
    if targets.weights.as_ref().map_or(Ok(false), may_be_0)? {
        return Ok(());
    }
    let Some(bounds) = y.bounds()? else { return Ok(()) };
    let width = y.as_rows().width.max(1);
    // So may ignored rows.
    let counts = |extreme: &Extreme| match &targets.values {
        TargetValues::Labels(labels) => !labels.may_be(extreme.index / width, loss.ignore_index()),
        TargetValues::Dense(_) => true,
    };
    let outside = |extreme: &Extreme| !range.contains(&extreme.value) && counts(extreme);
    match [bounds.least, bounds.greatest].into_iter().find(outside) {
        None => Ok(()),
        Some(Extreme { value, index }) => Err(Error::InvalidOutput {
            loss: loss.name().to_owned(),
            row: index / width,
            column: index % width,
            value,
            reason: reason.to_owned(),
        }),
    }
}

/// Checks that targets which should be −1 and 1 are not 0 and 1, as far as the host knows them.
pub(crate) fn check_signs(loss: &str, targets: &Tensor) -> Result<()> {
    let Some(Bounds { least, greatest, .. }) = targets.bounds()? else { return Ok(()) };
    if (least.value, greatest.value) != (0.0, 1.0) {
        return Ok(());
    }
    let width = targets.as_rows().width.max(1);
    Err(Error::InvalidTarget {
        loss: loss.to_owned(),
        row: least.index / width,
        column: least.index % width,
        value: least.value,
        reason: "is one of targets from 0 to 1; it takes -1 and 1: 2t - 1".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{DeviceOptions, Preference};
    use crate::device::Device;
    use crate::{Activation, Reduction};

    fn check(tensor: &Tensor) -> Result<()> {
        check_values("bce", tensor, 0.0..=1.0, "must be from 0 to 1")
    }

    #[test]
    fn a_value_outside_is_named_with_its_place() {
        let device = Device::cpu();
        let mut values = [0.0, 1.0, 0.5, f32::NAN, -0.0, 1.0, 0.25, 0.5];
        let tensor = device.tensor(&values, [4, 2]).unwrap();
        check(&tensor).unwrap();
        check(&device.tensor(&[], [0, 2]).unwrap()).unwrap();
        values[6] = 1.5;
        tensor.write(&values).unwrap();
        let message = "bce: the target 1.5 in row 3, column 0 must be from 0 to 1";
        assert_eq!(check(&tensor).unwrap_err().to_string(), message);
        values[5] = f32::NEG_INFINITY;
        tensor.write(&values).unwrap();
        let message = "bce: the target -inf in row 2, column 1 must be from 0 to 1";
        assert_eq!(check(&tensor).unwrap_err().to_string(), message);
        let rows = tensor.reshape([2, 2, 2]).unwrap();
        assert_eq!(check(&rows).unwrap_err(), check(&tensor).unwrap_err());
        let error = check(&tensor.reshape([8]).unwrap()).unwrap_err();
        assert!(matches!(error, Error::InvalidTarget { row: 0, column: 5, .. }), "{error}");
    }

    #[test]
    fn what_an_operation_made_is_looked_at_only_when_asked() {
        let options = DeviceOptions::default().preference(Preference::Cpu).checked(true);
        let checked = pollster::block_on(Device::request(options)).unwrap();
        for device in [Device::cpu(), checked] {
            let two = device.tensor(&[0.5, 2.0], [2]).unwrap();
            let made = Activation::Identity.forward(&two).unwrap();
            assert_eq!(check(&made).is_err(), device.is_checked());
        }
    }

    #[test]
    fn cross_entropy_refuses_negative_probabilities() {
        let device = Device::cpu();
        let y = device.tensor(&[0.5; 4], [2, 2]).unwrap();
        let t = device.tensor(&[1.0, 0.0, 1.25, -0.25], [2, 2]).unwrap();
        let error = Loss::cross_entropy().forward(&y, &t, Reduction::Sum).unwrap_err();
        let message = "cross_entropy: the target -0.25 in row 1, column 1 must not be negative";
        assert_eq!(error.to_string(), message);
        Loss::Mse.forward(&y, &t, Reduction::Sum).unwrap();
        t.write(&[1.0, 0.0, 1.25, -0.0]).unwrap();
        Loss::cross_entropy().gradient(&y, &t, Reduction::Sum).unwrap();
    }
}
