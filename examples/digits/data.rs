//! The UCI handwritten digits: see examples/data/README.md.

use std::fmt;

/// The number of pixels of an image.
pub const PIXELS: usize = 64;

/// The number of digits, 0 to 9.
pub const CLASSES: usize = 10;

/// One image per line: 64 pixels from 0 to 16, row by row, then the digit.
const CSV: &str = include_str!("../data/digits.csv");

/// Images as rows of 64 numbers from 0 to 1, with their digits.
#[derive(Default)]
pub struct Images {
    pub pixels: Vec<f32>,
    pub labels: Vec<i32>,
}

impl Images {
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// The images with these indices.
    pub fn select(&self, indices: &[usize]) -> Self {
        let pixels = |&i: &usize| self.pixels[i * PIXELS..(i + 1) * PIXELS].iter().copied();
        Self {
            pixels: indices.iter().flat_map(pixels).collect(),
            labels: indices.iter().map(|&i| self.labels[i]).collect(),
        }
    }
}

/// A line of the file that is not an image.
#[derive(Debug)]
pub struct BadLine(usize);

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of digits.csv is not 64 pixels and a digit", self.0 + 1)
    }
}

impl std::error::Error for BadLine {}

/// All images, split at random: every fifth is held out from training.
pub fn load(random: &mut fastrand::Rng) -> Result<(Images, Images), BadLine> {
    let mut all = Images::default();
    for (number, line) in CSV.lines().enumerate() {
        let values: Result<Vec<u8>, _> = line.split(',').map(str::parse).collect();
        let values = values.map_err(|_| BadLine(number))?;
        let Some((&label, pixels)) = values.split_last().filter(|(_, p)| p.len() == PIXELS) else {
            return Err(BadLine(number));
        };
        all.pixels.extend(pixels.iter().map(|&pixel| f32::from(pixel) / 16.0));
        all.labels.push(label.into());
    }
    let mut order: Vec<usize> = (0..all.len()).collect();
    random.shuffle(&mut order);
    let (held_out, training) = order.split_at(all.len() / 5);
    Ok((all.select(training), all.select(held_out)))
}
