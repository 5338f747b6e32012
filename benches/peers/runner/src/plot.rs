//! Draws the cost over the size.

use std::path::Path;

use plotters::prelude::*;

use crate::Result;
use crate::record::Record;

const COLOURS: [RGBColor; 5] = [
    RGBColor(140, 140, 140),
    RGBColor(31, 107, 180),
    RGBColor(86, 160, 211),
    RGBColor(214, 108, 20),
    RGBColor(236, 165, 90),
];
/// The size at which the picture is drawn, and the size at which it is shown.
const DRAWN: (u32, u32) = (1440, 960);
const SHOWN: (u32, u32) = (720, 480);

pub fn draw(record: &Record, path: &Path) -> Result<()> {
    let mut names: Vec<&str> = Vec::new();
    for point in &record.sweep {
        if !names.contains(&point.series.as_str()) {
            names.push(&point.series);
        }
    }
    let milliseconds = || record.sweep.iter().map(|point| 1e3 * point.median);
    let low = milliseconds().fold(f64::INFINITY, f64::min) / 2.0;
    let high = milliseconds().fold(0.0, f64::max) * 2.0;

    let mut svg = String::new();
    let root = SVGBackend::with_string(&mut svg, DRAWN).into_drawing_area();
    root.fill(&WHITE)?;
    let sizes = (2f64.powi(9)..2f64.powi(29)).log_scale().base(4.0);
    let mut chart = ChartBuilder::on(&root)
        .margin(20)
        .x_label_area_size(80)
        .y_label_area_size(120)
        .build_cartesian_2d(sizes, (low..high).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("elements")
        .y_desc("milliseconds")
        .max_light_lines(0)
        .x_label_formatter(&|elements| format!("2^{:.0}", elements.log2()))
        .y_label_formatter(&|milliseconds| format!("{milliseconds}"))
        .bold_line_style(RGBColor(225, 225, 225))
        .axis_style(RGBColor(120, 120, 120))
        .label_style(("sans-serif", 28))
        .draw()?;
    for (name, colour) in names.into_iter().zip(COLOURS) {
        let points = record.sweep.iter().filter(|point| point.series == name);
        let points: Vec<(f64, f64)> =
            points.map(|point| (point.elements as f64, 1e3 * point.median)).collect();
        chart
            .draw_series(LineSeries::new(points.clone(), colour.stroke_width(5)))?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 40, y)], colour.stroke_width(5)));
        chart.draw_series(points.into_iter().map(|at| Circle::new(at, 8, colour.filled())))?;
    }
    chart
        .configure_series_labels()
        .legend_area_size(52)
        .position(SeriesLabelPosition::UpperLeft)
        .label_font(("sans-serif", 28))
        .background_style(WHITE.mix(0.8))
        .draw()?;
    root.present()?;
    drop((chart, root));

    let size = |(width, height)| format!(r#"width="{width}" height="{height}""#);
    std::fs::write(path, svg.replacen(&size(DRAWN), &size(SHOWN), 1))?;
    Ok(())
}
