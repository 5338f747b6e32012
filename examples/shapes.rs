//! Draws g and g' for every activation of the catalogue, as the device computes them.
//!
//!     cargo run --release --example shapes
//!
//! The pictures go to docs/figures, or to the folder after `--out`.

mod common;

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;
use wgrad::{Activation, Device, Result};

const FORWARD: RGBColor = RGBColor(31, 107, 180);
const DERIVATIVE: RGBColor = RGBColor(214, 108, 20);
const RANGE: f32 = 6.0;

fn main() -> Result<(), Box<dyn Error>> {
    env_logger::init();
    let device = Device::new()?;
    let folder = common::output_folder("docs/figures")?;
    println!("computed on {}", device.info());
    for activation in Activation::all() {
        let path = folder.join(format!("{}.svg", activation.name()));
        draw(&activation, &curves(&device, &activation)?, &path)?;
        println!("{}", path.display());
    }
    Ok(())
}

struct Curves {
    z: Vec<f32>,
    y: Vec<f32>,
    slope: Vec<f32>,
}

fn curves(device: &Device, activation: &Activation) -> Result<Curves> {
    // An even count, so that no point lies on the kink at 0.
    let count = 600;
    let z: Vec<f32> =
        (0..count).map(|i| RANGE * (2.0 * (i as f32 + 0.5) / count as f32 - 1.0)).collect();
    if !activation.is_rowwise() {
        let tensor = device.tensor(&z, [count])?;
        let y = activation.forward(&tensor)?.to_vec()?;
        let slope = activation.derivative(&tensor)?.to_vec()?;
        return Ok(Curves { z, y, slope });
    }
    // The first element of the row (z, 0), and its derivative in z.
    let rows: Vec<f32> = z.iter().flat_map(|&z| [z, 0.0]).collect();
    let tensor = device.tensor(&rows, [count, 2])?;
    let first = |values: Vec<f32>, width: usize| values.into_iter().step_by(width).collect();
    let y = first(activation.forward(&tensor)?.to_vec()?, 2);
    let slope = first(activation.jacobian(&tensor)?.to_vec()?, 4);
    Ok(Curves { z, y, slope })
}

fn draw(activation: &Activation, curves: &Curves, path: &Path) -> Result<(), Box<dyn Error>> {
    let values = || curves.y.iter().chain(&curves.slope).copied();
    let (low, high) = values().fold((0.0f32, 1.0f32), |(low, high), y| (low.min(y), high.max(y)));
    let margin = 0.08 * (high - low);

    let root = SVGBackend::new(path, (840, 600)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(activation.to_string(), ("sans-serif", 36))
        .margin(20)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(-RANGE..RANGE, (low - margin)..(high + margin))?;
    chart
        .configure_mesh()
        .x_labels(7)
        .y_labels(6)
        .x_label_formatter(&|z| format!("{z:.0}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .light_line_style(WHITE)
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(RGBColor(120, 120, 120))
        .label_style(("sans-serif", 24))
        .draw()?;
    let (forward, derivative) = if activation.is_rowwise() {
        ("first of the row (z, 0)", "its derivative in z")
    } else {
        ("g(z)", "g'(z)")
    };
    for (values, color, label) in
        [(&curves.y, FORWARD, forward), (&curves.slope, DERIVATIVE, derivative)]
    {
        // A jump of the derivative is left open.
        let points: Vec<(f32, f32)> =
            curves.z.iter().copied().zip(values.iter().copied()).collect();
        let mut legend = Some(label);
        for part in points.chunk_by(|a, b| (a.1 - b.1).abs() < 0.1) {
            let line = chart.draw_series(LineSeries::new(part.to_vec(), color.stroke_width(4)))?;
            if let Some(label) = legend.take() {
                line.label(label).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 32, y)], color.stroke_width(4))
                });
            }
        }
    }
    chart
        .configure_series_labels()
        .legend_area_size(44)
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 26))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    root.present()?;
    Ok(())
}
