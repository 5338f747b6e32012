// The statistics of a row of z, the kernel's input.

fn row_statistics(start: u32, width: u32, at: Place) -> RowStatistics {
    var greatest = -infinity();
    for (var i = at.lane; i < width; i = i + LANES) {
        greatest = greater(greatest, z[start + i]);
    }
    let maximum = reduce_maximum(greatest, at);
    let undefined = is_nan(maximum) || is_infinite(maximum);

    var sum = Sum(0.0, 0.0);
    var ties = 0.0;
    for (var i = at.lane; i < width; i = i + LANES) {
        let value = z[start + i];
        if (value == maximum) {
            ties = ties + 1.0;
        } else if (!undefined) {
            sum = add(sum, math_exp_difference(value, maximum));
        }
    }
    let others = reduce_sum(sum.value - sum.lost, at);
    let rest = others + (reduce_sum(ties, at) - 1.0);
    return RowStatistics(maximum, rest, undefined);
}
