//! Draws g and g' for every activation of the catalogue, as the device computes them.
//!
//!     cargo run --release --example shapes
//!
//! The pictures go to docs/figures, or to the folder after `--out`.

mod common;

use std::error::Error;
use std::ops::{Range, RangeInclusive};
use std::path::Path;

use plotters::prelude::*;
use wgrad::{Activation, Device, Result};

const FORWARD: RGBColor = RGBColor(31, 107, 180);
const DERIVATIVE: RGBColor = RGBColor(214, 108, 20);
/// The size in which a picture is drawn, and the size in which it is shown.
const DRAWN: (u32, u32) = (840, 600);
const SHOWN: (u32, u32) = (420, 300);

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

/// The range of arguments that is drawn, and the greatest magnitude of a value that is drawn.
fn extent(activation: &Activation) -> (Range<f32>, f32) {
    match activation {
        Activation::Logit => (0.0..1.0, 8.0),
        _ => (-6.0..6.0, 6.0),
    }
}

struct Curves {
    z: Vec<f32>,
    y: Vec<f32>,
    slope: Vec<f32>,
}

fn curves(device: &Device, activation: &Activation) -> Result<Curves> {
    // An even count, so that no point lies on the kink at 0.
    let count = 600;
    let (arguments, _) = extent(activation);
    let step = (arguments.end - arguments.start) / count as f32;
    let z: Vec<f32> = (0..count).map(|i| arguments.start + (i as f32 + 0.5) * step).collect();
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
    let (arguments, limit) = extent(activation);
    let values = || curves.y.iter().chain(&curves.slope).copied();
    let (low, high) = values().fold((0.0f32, 1.0f32), |(low, high), y| (low.min(y), high.max(y)));
    let (low, high) = (low.max(-limit), high.min(limit));
    let margin = 0.08 * (high - low);
    let decimals = if arguments.end > 1.0 { 0 } else { 1 };

    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, DRAWN).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption(activation.to_string(), ("sans-serif", 40))
        .margin(20)
        .x_label_area_size(48)
        .y_label_area_size(72)
        .build_cartesian_2d(arguments, (low - margin)..(high + margin))?;
    chart
        .configure_mesh()
        .x_labels(7)
        .y_labels(6)
        .max_light_lines(0)
        .x_label_formatter(&|z| format!("{z:.decimals$}"))
        .y_label_formatter(&|y| format!("{y:.1}"))
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(RGBColor(120, 120, 120))
        .label_style(("sans-serif", 30))
        .draw()?;
    let (forward, derivative) = if activation.is_rowwise() {
        ("first of the row (z, 0)", "its derivative in z")
    } else {
        ("g(z)", "g'(z)")
    };
    let visible = (low - margin)..=(high + margin);
    // The derivative is thinner, so that both are visible where they coincide.
    for (values, color, width, label) in
        [(&curves.y, FORWARD, 7, forward), (&curves.slope, DERIVATIVE, 4, derivative)]
    {
        let mut legend = Some(label);
        for part in parts(&curves.z, values, &visible) {
            let line = chart.draw_series(LineSeries::new(part, color.stroke_width(width)))?;
            if let Some(label) = legend.take() {
                line.label(label).legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 32, y)], color.stroke_width(width))
                });
            }
        }
    }
    chart
        .configure_series_labels()
        .legend_area_size(44)
        .position(free_corner(curves, &visible))
        .label_font(("sans-serif", 30))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    root.present()?;
    drop((chart, root));

    // Shown at half the size, even if the documentation embeds the SVG itself.
    let size = |(width, height)| format!(r#"width="{width}" height="{height}""#);
    std::fs::write(path, svg.replacen(&size(DRAWN), &size(SHOWN), 1))?;
    Ok(())
}

/// The corner that contains the fewest points of the curves.
fn free_corner(curves: &Curves, visible: &RangeInclusive<f32>) -> SeriesLabelPosition {
    let count = curves.z.len();
    let height = visible.end() - visible.start();
    let points = |right: bool, upper: bool| {
        let columns = if right { 4 * count / 5..count } else { 0..count / 5 };
        let rows = if upper {
            visible.end() - 0.25 * height..=*visible.end()
        } else {
            *visible.start()..=visible.start() + 0.25 * height
        };
        let inside = |values: &[f32]| values.iter().filter(|value| rows.contains(value)).count();
        inside(&curves.y[columns.clone()]) + inside(&curves.slope[columns])
    };
    let corners = [
        (points(false, true), SeriesLabelPosition::UpperLeft),
        (points(true, false), SeriesLabelPosition::LowerRight),
        (points(false, false), SeriesLabelPosition::LowerLeft),
        (points(true, true), SeriesLabelPosition::UpperRight),
    ];
    let [first, others @ ..] = corners;
    others.into_iter().fold(first, |best, corner| if corner.0 < best.0 { corner } else { best }).1
}

/// The visible parts of a curve, which is interrupted where it jumps.
fn parts(z: &[f32], values: &[f32], visible: &RangeInclusive<f32>) -> Vec<Vec<(f32, f32)>> {
    let step = |i: usize| values.get(i + 1).map_or(0.0, |next| (next - values[i]).abs());
    // A step is a jump if both of its neighbours are much smaller.
    let jumps = |i: usize| step(i) > 0.05 + 4.0 * step(i + 1).max(step(i.saturating_sub(1)));
    let mut parts = vec![Vec::new()];
    for (i, (&z, &value)) in z.iter().zip(values).enumerate() {
        if visible.contains(&value) {
            parts.last_mut().unwrap().push((z, value));
        }
        if !visible.contains(&value) || jumps(i) {
            parts.push(Vec::new());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}
