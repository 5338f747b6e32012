//! Draws the learning curve, and test images with the network's predictions.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::data::{Images, PIXELS};

const LOSS: RGBColor = RGBColor(31, 107, 180);
const ACCURACY: RGBColor = RGBColor(214, 108, 20);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// The training loss and the accuracy after an epoch.
pub struct Epoch {
    pub training_loss: f32,
    pub accuracy: f64,
}

pub fn learning_curve(epochs: &[Epoch], device: &str, path: &Path) -> Result<(), Box<dyn Error>> {
    let root = SVGBackend::new(path, (640, 360)).into_drawing_area();
    root.fill(&WHITE)?;
    let losses = epochs.iter().map(|epoch| epoch.training_loss);
    let highest = losses.fold(0.0f32, f32::max) * 1.05;
    let mut chart = ChartBuilder::on(&root)
        .caption(format!("Handwritten digits on {device}"), ("sans-serif", 15))
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(50)
        .right_y_label_area_size(54)
        .build_cartesian_2d(1..epochs.len(), 0.0..highest)?
        .set_secondary_coord(1..epochs.len(), 0.80..1.0f64);
    chart
        .configure_mesh()
        .x_desc("epoch")
        .y_desc("training loss")
        .y_label_formatter(&|loss| format!("{loss:.2}"))
        .light_line_style(WHITE)
        .bold_line_style(GRID)
        .draw()?;
    chart
        .configure_secondary_axes()
        .y_desc("held-out accuracy")
        .y_label_formatter(&|accuracy| format!("{:.0} %", 100.0 * accuracy))
        .draw()?;
    let loss = epochs.iter().enumerate().map(|(i, epoch)| (i + 1, epoch.training_loss));
    chart
        .draw_series(LineSeries::new(loss, LOSS.stroke_width(2)))?
        .label("training loss")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], LOSS.stroke_width(2)));
    let accuracy = epochs.iter().enumerate().map(|(i, epoch)| (i + 1, epoch.accuracy.max(0.8)));
    chart
        .draw_secondary_series(LineSeries::new(accuracy, ACCURACY.stroke_width(2)))?
        .label("held-out accuracy")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 16, y)], ACCURACY.stroke_width(2)));
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::MiddleRight)
        .label_font(("sans-serif", 13))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    root.present()?;
    Ok(())
}

/// Draws images in a grid, each with the predicted digit; a wrong one is in red, with the right digit.
pub fn predictions(
    images: &Images,
    predictions: &[i32],
    path: &Path,
) -> Result<(), Box<dyn Error>> {
    const COLUMNS: usize = 12;
    const ROWS: usize = 5;
    const CELL: i32 = 56;
    const CAPTION: i32 = 18;
    const SIDE: usize = 8;
    let pixel = (CELL - 8) / SIDE as i32;
    let size = (COLUMNS as u32 * CELL as u32, ROWS as u32 * (CELL + CAPTION) as u32);
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;

    // The mistakes first: they are more interesting.
    let is_wrong = |i: &usize| predictions[*i] != images.labels[*i];
    let (wrong, right): (Vec<usize>, Vec<usize>) = (0..images.len()).partition(is_wrong);
    let shown = wrong.into_iter().chain(right).take(COLUMNS * ROWS);
    for (place, i) in shown.enumerate() {
        let left = (place % COLUMNS) as i32 * CELL + 4;
        let top = (place / COLUMNS) as i32 * (CELL + CAPTION) + 4;
        let image = &images.pixels[i * PIXELS..(i + 1) * PIXELS];
        for (j, &ink) in image.iter().enumerate().filter(|(_, ink)| **ink > 0.0) {
            let (x, y) = (left + (j % SIDE) as i32 * pixel, top + (j / SIDE) as i32 * pixel);
            let shade = (255.0 * (1.0 - ink)) as u8;
            let color = RGBColor(shade, shade, shade);
            root.draw(&Rectangle::new([(x, y), (x + pixel, y + pixel)], color.filled()))?;
        }
        let (text, color) = if is_wrong(&i) {
            (format!("{}, not {}", images.labels[i], predictions[i]), RED)
        } else {
            (predictions[i].to_string(), BLACK)
        };
        let style = ("sans-serif", 13).into_font().color(&color);
        root.draw(&Text::new(text, (left + 2, top + CELL - 4), style))?;
    }
    root.present()?;
    Ok(())
}
