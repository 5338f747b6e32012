//! The functions that a command is about.

use wgrad::{Activation, Device, Result, Tensor, reference};

/// g, g' or g'' of an activation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Function {
    pub activation: Activation,
    pub order: usize,
}

impl Function {
    /// The function's name. A name alone stands for the default parameters.
    pub fn name(&self) -> String {
        let activation = self.activation;
        let is_default = Activation::all().any(|default| default == activation);
        if is_default {
            activation.name().to_owned()
        } else {
            activation.to_string().replace(' ', "")
        }
    }

    pub fn on_device(&self, device: &Device, values: &[f32]) -> Result<Vec<f32>> {
        let z: Tensor = device.tensor(values, [values.len()])?;
        let result = match self.order {
            0 => self.activation.forward(&z),
            1 => self.activation.derivative(&z),
            _ => self.activation.second_derivative(&z),
        };
        result?.to_vec()
    }

    /// The exact values, rounded to f64.
    pub fn exactly(&self, z: &[f64]) -> Vec<f64> {
        let each = |f: fn(&Activation, f64) -> f64| {
            z.iter().map(|&z| f(&self.activation, z)).collect::<Vec<f64>>()
        };
        match self.order {
            0 => reference::forward(&self.activation, z, 1),
            1 => each(reference::derivative),
            _ => each(reference::second_derivative),
        }
    }
}

/// The functions and orders that `--function` and `--order` name.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    activations: Vec<Activation>,
    orders: Vec<usize>,
}

impl Selection {
    pub fn add_activations(&mut self, list: &str) -> Result<(), String> {
        for name in split(list) {
            self.activations.push(name.parse().map_err(|error| format!("{error}"))?);
        }
        Ok(())
    }

    pub fn add_orders(&mut self, list: &str) -> Result<(), String> {
        for order in split(list) {
            let known = ["0", "1", "2"].iter().position(|name| *name == order);
            self.orders.push(known.ok_or_else(|| format!("there is no order {order:?}"))?);
        }
        Ok(())
    }

    /// Each activation with each order, or all of them if none is named. A row-wise activation has a function, but
    /// no derivative that is a single number.
    pub fn functions(&self) -> Vec<Function> {
        let activations = match self.activations.as_slice() {
            [] => Activation::all().collect(),
            named => named.to_vec(),
        };
        let orders = if self.orders.is_empty() { &[0, 1, 2] } else { self.orders.as_slice() };
        let pairs = activations
            .into_iter()
            .flat_map(|activation| orders.iter().map(move |&order| Function { activation, order }));
        pairs.filter(|function| function.activation.ulp_bound(function.order).is_some()).collect()
    }
}

/// Splits a text at the commas, except those inside parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut depth = 0i32;
    let parts = text.split(|character| {
        depth += i32::from(character == '(') - i32::from(character == ')');
        character == ',' && depth == 0
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_the_default() {
        let functions = Selection::default().functions();
        let count = |rowwise: bool| {
            Activation::all().filter(|activation| activation.is_rowwise() == rowwise).count()
        };
        assert_eq!(functions.len(), 3 * count(false) + count(true));
    }

    #[test]
    fn lists_name_functions_with_parameters_and_orders() {
        let mut selection = Selection::default();
        selection.add_activations("Sigmoid, hard_tanh(min=-3, max=2),").unwrap();
        selection.add_activations("elu(alpha=0.3)").unwrap();
        selection.add_orders("2,0").unwrap();
        let functions = selection.functions();
        let names: Vec<String> = functions
            .iter()
            .map(|function| format!("{} {}", function.name(), function.order))
            .collect();
        let expected = [
            "sigmoid 2",
            "sigmoid 0",
            "hard_tanh(min=-3,max=2) 2",
            "hard_tanh(min=-3,max=2) 0",
            "elu(alpha=0.3) 2",
            "elu(alpha=0.3) 0",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn what_there_is_not_is_an_error() {
        let mut selection = Selection::default();
        assert!(selection.add_activations("sigmiod").unwrap_err().contains("sigmoid"));
        assert!(selection.add_activations("elu(alpha=x)").is_err());
        assert!(selection.add_orders("3").unwrap_err().contains("order"));
    }
}
