//! Products of matrices, those of the `gemm` crate on the caller's thread.

use gemm::{Parallelism, gemm};

/// `result[place][m] = Σ_k values[place][k] · table[k][m]`, for sizes `(m, k, places)`.
///
/// # Panics
/// When a slice's length does not fit.
pub fn matrix_product(
    result: &mut [f32],
    table: &[f32],
    values: &[f32],
    (m, k, places): (usize, usize, usize),
) {
    assert_eq!(
        (result.len(), table.len(), values.len()),
        (places * m, k * m, places * k)
    );
    // SAFETY: the three are as long as their shapes and strides say, which was just checked.
    unsafe {
        gemm(
            m,
            places,
            k,
            result.as_mut_ptr(),
            m as isize,
            1,
            false,
            table.as_ptr(),
            m as isize,
            1,
            values.as_ptr(),
            k as isize,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_by_hand() {
        // Two places of three values, times a table of three rows and two columns.
        let (values, table) = (
            [1.0, 2.0, 3.0, 0.0, -1.0, 4.0],
            [1.0, 0.0, 2.0, 1.0, 0.0, -1.0],
        );
        let mut result = [9.0; 4];
        matrix_product(&mut result, &table, &values, (2, 3, 2));
        assert_eq!(result, [5.0, -1.0, -2.0, -5.0]);
    }
}
