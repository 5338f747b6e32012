//! Failures, and that the device still works afterwards.

mod common;

use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::{Within, assert_all};
use wgrad::{Activation, DType, Dense, Device, Error, Loss, OutputLayer, Reduction, Tensor, wgpu};

/// Checks that a small step gives the right result.
#[track_caller]
fn goes_on(device: &Device) {
    let z = device.tensor(&[-1.0, 0.0, 2.0], [3]).unwrap();
    let y = Activation::Relu.forward(&z).unwrap();
    assert_eq!(y.to_vec().unwrap(), [0.0, 0.0, 2.0], "{device:?}");
}

/// Waits until the condition holds, for a few seconds at most.
#[track_caller]
fn soon(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} does not come");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The number of bytes of memory that the process uses.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The number of threads with this name, if the system provides it.
fn threads(name: &str) -> Option<usize> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let names =
        tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    Some(names.filter(|found| found.trim() == name).count())
}

/// Polls a future once.
fn poll_once<T>(future: &mut std::pin::Pin<Box<impl Future<Output = T>>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Drops futures of reads on eight threads: some before they are polled, some while they wait, and some not at
/// all.
fn drop_reads(tensor: &Tensor, count: usize) {
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                let mut kept = Vec::new();
                for i in 0..count / 8 {
                    let mut read = Box::pin(tensor.read());
                    match (i + thread) % 4 {
                        0 => drop(read),
                        1 => drop(poll_once(&mut read)),
                        // A few are kept, to be dropped in a different order.
                        2 => kept.push(read),
                        _ if i % 64 == 3 => {
                            assert_eq!(pollster::block_on(read).unwrap()[0], 1.0);
                        }
                        _ => {
                            let _ = poll_once(&mut read);
                            std::thread::yield_now();
                        }
                    }
                    if kept.len() > 5 {
                        kept.clear();
                    }
                }
            });
        }
    });
}

#[test]
fn reads_that_are_dropped_harm_nobody() {
    // In a separate process, so that the memory of other tests does not count.
    if let Some(passed) = alone("reads_that_are_dropped_harm_nobody") {
        return passed;
    }
    // The variable sets a greater number: 200 000 take minutes.
    let count = std::env::var("WGRAD_TEST_DROPS").ok().and_then(|count| count.parse().ok());
    let count: usize = count.unwrap_or(4000);
    for shared in common::adapters().iter().chain([common::cpu()]) {
        let device = Device::open(shared.info()).unwrap();
        let tensor = device.tensor(&[1.0; 3000], [3000]).unwrap();
        drop_reads(&tensor, count / 4);
        let before = resident();
        drop_reads(&tensor, count);
        let after = resident();
        println!("{device:?}: {count} drops, resident {before:?} -> {after:?}");
        if let (Some(before), Some(after)) = (before, after) {
            assert!(after < before + (64 << 20), "{device:?}: {before} -> {after}");
        }
        // All staging buffers are returned without any further call.
        soon("the last staging buffer", || device.memory().staging.current_bytes == 0);
        let memory = device.memory();
        println!("{memory}");
        assert!(memory.staging.peak_bytes < 8 << 20, "{device:?}: {memory}");
        assert!(memory.pooled_bytes < 16 << 20, "{device:?}: {memory}");
        assert_eq!(tensor.to_vec().unwrap(), [1.0; 3000]);
        goes_on(&device);
    }
}

#[test]
fn one_thread_waits_for_all_reads_and_ends_with_the_device() {
    const NAME: &str = "wgrad poller";
    if let Some(passed) = alone("one_thread_waits_for_all_reads_and_ends_with_the_device") {
        return passed;
    }
    for info in Device::enumerate().iter().filter(|info| info.kind.is_gpu()) {
        let device = Device::open(info).unwrap();
        let tensor = device.tensor(&[1.0; 1000], [1000]).unwrap();
        assert!(threads(NAME).is_none_or(|count| count == 0), "{device:?}");
        let reads: Vec<_> = (0..100).map(|_| tensor.read()).collect();
        for (i, read) in reads.into_iter().enumerate() {
            if i % 3 > 0 {
                assert_eq!(pollster::block_on(read).unwrap(), [1.0; 1000]);
            }
        }
        assert!(threads(NAME).is_none_or(|count| count <= 1), "{device:?}");
        // A read in progress keeps the device and its thread alive until it is done.
        let read = tensor.read();
        drop((tensor, device));
        assert_eq!(pollster::block_on(read).unwrap(), [1.0; 1000]);
        soon("the end of the thread", || threads(NAME).is_none_or(|count| count == 0));
    }
}

/// Runs the test of this name again in a separate process; returns `None` in that process.
fn alone(test: &str) -> Option<()> {
    const ALONE: &str = "WGRAD_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return None;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(ALONE, "1");
    assert_passed(test, &child.output().unwrap());
    Some(())
}

#[track_caller]
fn assert_passed(test: &str, output: &std::process::Output) {
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && told.contains("1 passed"), "{test}: {told}\n{errors}");
    print!("{told}");
}

/// A wgpu device such as a host application has, for each adapter.
fn hosts() -> Vec<(wgpu::Adapter, wgpu::Device, wgpu::Queue)> {
    hosts_with(|limits| limits)
}

fn hosts_with(
    change: impl Fn(wgpu::Limits) -> wgpu::Limits,
) -> Vec<(wgpu::Adapter, wgpu::Device, wgpu::Queue)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let adapters = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let open = |adapter: wgpu::Adapter| {
        let required_limits = change(adapter.limits());
        let descriptor = wgpu::DeviceDescriptor { required_limits, ..Default::default() };
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        (adapter, device, queue)
    };
    adapters.into_iter().map(open).collect()
}

/// The results of all sorts of calls on a device.
fn calls(device: &Device, z: &Tensor, plan: &wgrad::Plan<'_, Tensor>) -> Vec<wgrad::Result<()>> {
    let y = Activation::Softmax.forward(z);
    vec![
        y.map(drop),
        Activation::Relu.forward_into(z, z),
        device.tensor(&[1.0], [1]).map(drop),
        device.tensor(&vec![1.0; 100_000], [100_000]).map(drop),
        device.zeros([4]).map(drop),
        device.labels(&[1, 2]).map(drop),
        z.write(&vec![0.0; z.len()]),
        z.to_vec().map(drop),
        pollster::block_on(z.read()).map(drop),
        device.flush(),
        device.synchronize(),
        plan.run(),
        plan.outputs().to_vec().map(drop),
        device.record(|| Activation::Tanh.forward(z)).map(drop),
        OutputLayer::new(Activation::Softmax, Loss::cross_entropy())
            .gradients(z, z, None, z)
            .map(drop),
    ]
}

#[test]
fn a_device_that_its_owner_destroys_is_lost_at_every_call() {
    for (adapter, raw, queue) in hosts() {
        let open = || Device::from_wgpu(&adapter, raw.clone(), queue.clone());
        let device = open().unwrap();
        let z = device.tensor(&[0.5; 16], [4, 4]).unwrap();
        let plan = device.record(|| Activation::Relu.forward(&z)).unwrap();
        for result in calls(&device, &z, &plan) {
            result.unwrap();
        }
    }
    // What is in progress when the device is destroyed, and which call comes first after that.
    for state in 0..5 {
        for first in (state..15).step_by(5) {
            for (adapter, raw, queue) in
                hosts().into_iter().take(if first == state { 9 } else { 1 })
            {
                let device = Device::from_wgpu(&adapter, raw.clone(), queue).unwrap();
                let z = device.tensor(&[0.5; 16], [4, 4]).unwrap();
                let plan = device.record(|| Activation::Relu.forward(&z)).unwrap();
                let mut read = None;
                match state {
                    0 => device.synchronize().unwrap(),
                    1 => {}
                    2 => drop(Activation::Tanh.forward(&z).unwrap().to_vec().unwrap()),
                    3 => read = Some(Box::pin(z.read())),
                    _ => plan.run().unwrap(),
                }
                raw.destroy();
                // The device is asked at most every 10 µs.
                std::thread::sleep(std::time::Duration::from_micros(50));
                let mut results = calls(&device, &z, &plan);
                results.rotate_left(first);
                let results = results.into_iter().chain(calls(&device, &z, &plan));
                for (call, result) in results.enumerate() {
                    let error = result.unwrap_err();
                    let told = error.to_string();
                    assert!(matches!(error, Error::DeviceLost { .. }), "{state}, {call}: {told}");
                    assert!(told.contains("destroyed its wgpu device"), "{state}, {call}: {told}");
                }
                // A read in progress either completes or is lost too.
                match read.map(pollster::block_on) {
                    None => {}
                    Some(Ok(values)) => assert_eq!(values, [0.5; 16]),
                    Some(Err(error)) => {
                        assert!(matches!(error, Error::DeviceLost { .. }), "{error}")
                    }
                }
                let again =
                    Device::from_wgpu(&adapter, raw.clone(), device.wgpu().unwrap().1.clone());
                assert!(matches!(again.unwrap_err(), Error::DeviceLost { .. }));
            }
        }
    }
}

#[test]
fn a_device_of_wgrads_that_is_destroyed_is_lost_too() {
    for shared in common::adapters() {
        let device = Device::open(shared.info()).unwrap();
        let z = device.tensor(&[0.5; 16], [4, 4]).unwrap();
        let plan = device.record(|| Activation::Relu.forward(&z)).unwrap();
        device.wgpu().unwrap().0.destroy();
        for (call, result) in calls(&device, &z, &plan).into_iter().enumerate() {
            let error = result.unwrap_err();
            let told = error.to_string();
            assert!(matches!(error, Error::DeviceLost { .. }), "{call}: {told}");
            assert!(told.contains("destroyed its wgpu device"), "{call}: {told}");
        }
    }
}

const USAGE: wgpu::BufferUsages = wgpu::BufferUsages::STORAGE
    .union(wgpu::BufferUsages::COPY_SRC)
    .union(wgpu::BufferUsages::COPY_DST);

/// Asserts that a call reports a destroyed buffer with this label.
#[track_caller]
fn tells_of(what: &str, label: &str, result: wgrad::Result<()>) {
    let error = result.unwrap_err();
    let told = error.to_string();
    assert!(matches!(error, Error::Gpu { .. }), "{what}: {told}");
    assert!(
        told.contains("destroyed by the application") && told.contains(label),
        "{what}: {told}"
    );
}

#[test]
fn a_buffer_that_the_host_destroys_is_told_of_and_the_device_goes_on() {
    for (adapter, raw, queue) in hosts() {
        let device = Device::from_wgpu(&adapter, raw.clone(), queue).unwrap();
        let label = Some("the host's input");
        let descriptor =
            wgpu::BufferDescriptor { label, size: 64, usage: USAGE, mapped_at_creation: false };
        for state in 0..3 {
            let buffer = raw.create_buffer(&descriptor);
            let z = device.tensor_from_buffer(buffer.clone(), [4, 4]).unwrap();
            let other = device.tensor(&[0.25; 16], [4, 4]).unwrap();
            let plan = device.record(|| Activation::Relu.forward(&z)).unwrap();
            plan.run().unwrap();
            device.synchronize().unwrap();
            // Work that is recorded but not submitted cannot be done.
            let recorded = (state == 1).then(|| Activation::Tanh.forward(&z).unwrap());
            if state == 2 {
                device.synchronize().unwrap();
            }
            buffer.destroy();
            if let Some(recorded) = recorded {
                tells_of("a flush", "host's input", device.flush());
                goes_on(&device);
                // The result that the work should have written stays unavailable.
                for _ in 0..2 {
                    tells_of("a read", "host's input", recorded.to_vec().map(drop));
                    let next = Activation::Relu.forward(&recorded).and_then(|y| y.to_vec());
                    tells_of("a use", "host's input", next.map(drop));
                }
                // Until it is written.
                Activation::Tanh.forward_into(&other, &recorded).unwrap();
                assert_eq!(
                    recorded.to_vec().unwrap(),
                    Activation::Tanh.forward(&other).unwrap().to_vec().unwrap()
                );
            }
            for _ in 0..2 {
                let uses = [
                    Activation::Softmax.forward(&z).map(drop),
                    Activation::Relu.forward_into(&other, &z),
                    Activation::Relu.forward_into(&z, &z),
                    Activation::Relu.backward(&z, &other).map(drop),
                    z.write(&[1.0; 16]),
                    z.to_vec().map(drop),
                    pollster::block_on(z.read()).map(drop),
                    plan.run(),
                    device.tensor_from_buffer(buffer.clone(), [16]).map(drop),
                ];
                for (call, result) in uses.into_iter().enumerate() {
                    tells_of(&format!("state {state}, call {call}"), "host's input", result);
                    goes_on(&device);
                }
            }
            assert_eq!(other.to_vec().unwrap(), [0.25; 16]);
        }
    }
}

#[test]
fn a_tensors_buffer_that_the_caller_destroys_never_comes_back() {
    for shared in common::adapters() {
        let device = Device::open(shared.info()).unwrap();
        for length in [5, 1000, 100_000] {
            let tensor = device.tensor(&vec![1.0; length], [length]).unwrap();
            let buffer = tensor.buffer().unwrap().clone();
            buffer.destroy();
            let label = "wgrad tensor";
            tells_of("an operation", label, Activation::Relu.forward(&tensor).map(drop));
            tells_of("a write", label, tensor.write(&vec![2.0; length]));
            tells_of("a read", label, tensor.to_vec().map(drop));
            goes_on(&device);
            // Nor does a buffer that is destroyed after its tensor is dropped.
            let later = device.tensor(&vec![1.0; length], [length]).unwrap();
            let held = later.buffer().unwrap().clone();
            let in_use = device.memory().in_use_bytes;
            drop((tensor, later));
            assert!(device.memory().in_use_bytes < in_use);
            held.destroy();
            for _ in 0..3 {
                let tensor = device.tensor(&vec![3.0; length], [length]).unwrap();
                let y = Activation::Relu.forward(&tensor).unwrap();
                assert!(y.to_vec().unwrap().iter().all(|&y| y == 3.0));
            }
            goes_on(&device);
        }
    }
}

#[test]
fn limits_are_what_can_be_bound() {
    let odd = [(1 << 20) + 3, (3 << 20) - 1];
    for (size, bound) in odd.iter().flat_map(|&size| [(size, size), (size, (1 << 20) + 5)]) {
        let change = |limits: wgpu::Limits| wgpu::Limits {
            max_buffer_size: size.min(limits.max_buffer_size),
            max_storage_buffer_binding_size: bound.min(limits.max_storage_buffer_binding_size),
            ..limits
        };
        for (adapter, raw, queue) in hosts_with(change) {
            let device = Device::from_wgpu(&adapter, raw, queue).unwrap();
            let info = device.info();
            assert!(
                info.max_tensor_bytes <= size && info.max_tensor_bytes + 256 > size,
                "{info:?}"
            );
            assert!(info.max_binding_bytes.is_multiple_of(256), "{info:?}");
            largest_tensor_works(&device);
            let elements = size as usize / 4 + 1;
            for elements in [elements, info.max_tensor_bytes as usize / 4 + 1] {
                let error = device.zeros([elements]).unwrap_err();
                assert!(matches!(error, Error::TooLarge { .. }), "{error}");
            }
            let halves = device.zeros_of(DType::F16, [2 * elements]).unwrap_err();
            assert!(matches!(halves, Error::TooLarge { .. }), "{halves}");
            goes_on(&device);
        }
    }
    // Limits too small for any kernel are rejected at once.
    let change = |limits| wgpu::Limits {
        max_buffer_size: 1 << 19,
        max_storage_buffer_binding_size: 1 << 20,
        ..limits
    };
    let (adapter, raw, queue) = hosts_with(change).into_iter().next().unwrap();
    let refused = Device::from_wgpu(&adapter, raw, queue).unwrap_err();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
}

fn largest_tensor_works(device: &Device) {
    let elements = device.info().max_tensor_bytes as usize / 4;
    for length in [elements, elements - 1, elements - 63] {
        let mut values = vec![0.0; length];
        values[length - 1] = 1.0;
        let z = device.tensor(&values, [length]).unwrap();
        let y = Activation::Sigmoid.forward(&z).unwrap();
        let y = y.to_vec().unwrap();
        assert!(y[..length - 1].iter().all(|&y| y == 0.5), "{length}");
        assert_all("sigmoid", &y[length - 1..], &[0.7310585786300049], Within::Ulps(2.0));
        let dz = Activation::Sigmoid.backward(&z, &z).unwrap().to_vec().unwrap();
        assert_all("its gradient", &dz[length - 1..], &[0.19661193324148185], Within::Ulps(4.0));
        z.write(&values).unwrap();
        assert_eq!(z.to_vec().unwrap(), values);
        let zeros = device.zeros([length]).unwrap();
        assert_eq!(Loss::Mae.forward(&z, &zeros, Reduction::Sum).unwrap().item().unwrap(), 1.0);
        drop(zeros);
        // Rows of seven, and a product of a row with one column.
        let rows = device.tensor(&values[..length / 7 * 7], [length / 7, 7]).unwrap();
        let p = Activation::Softmax.forward(&rows).unwrap().to_vec().unwrap();
        assert_all("softmax", &p[..1], &[1.0 / 7.0], Within::Ulps(2.0));
        drop(rows);
        let w = device.tensor(&[3.0], [1, 1]).unwrap();
        let column = z.reshape([length, 1]).unwrap();
        let forward = Dense::new(Activation::Identity).forward(&column, &w, None).unwrap();
        assert_eq!(forward.y.to_vec().unwrap()[length - 1], 3.0);
    }
    for length in [2 * elements, 2 * elements - 1] {
        let z = device.zeros_of(DType::F16, [length]).unwrap();
        let y = Activation::Sigmoid.forward(&z).unwrap().to_vec().unwrap();
        assert!(y.len() == length && y.iter().all(|&y| y == 0.5));
    }
}

/// The number of bytes pooled after tensors of growing sizes, and the peak in use.
fn pooled_after_growing(device: &Device, reads: bool) -> (u64, u64) {
    for k in (16..=256).step_by(16) {
        let z = device.zeros([k * 32_768]).unwrap();
        let y = device.zeros([k * 32_768]).unwrap();
        if reads {
            assert_eq!(y.to_vec().unwrap().len(), z.len());
        }
    }
    let memory = device.memory();
    assert_eq!(memory.in_use_bytes, 0);
    (memory.pooled_bytes, memory.peak_bytes + memory.staging.peak_bytes)
}

#[test]
fn what_the_pool_keeps_is_bounded_by_what_is_in_use() {
    for shared in common::adapters().iter().chain([common::cpu()]) {
        for reads in [false, true] {
            let device = Device::open(shared.info()).unwrap();
            let (pooled, peak) = pooled_after_growing(&device, reads);
            println!("{device:?}, reads {reads}: pooled {pooled} after a peak of {peak}");
            // Each of the three pools always keeps up to 64 MiB.
            assert!(pooled <= (2 * peak).max(3 << 26), "{device:?}: {pooled}, {peak}");
            goes_on(&device);
            device.trim();
            assert!(device.memory().pooled_bytes < 1 << 20, "{device:?}");
        }
    }
}

#[test]
fn a_step_that_is_repeated_allocates_nothing() {
    for shared in common::adapters().iter().chain([common::cpu()]) {
        let device = Device::open(shared.info()).unwrap();
        // More than the pool always keeps, after sizes that never recur.
        pooled_after_growing(&device, false);
        let x = device.zeros([1 << 22]).unwrap();
        let step = || {
            let y = Activation::Relu.forward(&x).unwrap();
            let dx = Activation::Relu.backward(&x, &y).unwrap();
            // Sizes that are used one after the other.
            for part in [1 << 20, 3 << 20, 5 << 20] {
                drop(device.zeros([part]).unwrap());
            }
            (device.zeros([100_000]).unwrap().to_vec().unwrap(), dx)
        };
        let total = || {
            let memory = device.memory();
            memory.in_use_bytes + memory.staging.current_bytes + memory.pooled_bytes
        };
        // Upload buffers are returned when the GPU has read them.
        for _ in 0..3 {
            step();
        }
        device.synchronize().unwrap();
        let before = total();
        for round in 0..10 {
            step();
            assert!(total() <= before, "{device:?}, round {round}: {before} -> {}", total());
        }
    }
}

#[test]
fn a_failed_allocation_is_told_and_the_device_goes_on() {
    const TEST: &str = "a_failed_allocation_is_told_and_the_device_goes_on";
    const LIMITED: &str = "WGRAD_TEST_LIMITED";
    if !cfg!(target_os = "linux") {
        return;
    }
    if std::env::var_os(LIMITED).is_none() {
        // Runs this test again with the address space limited to this number of KiB.
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", "ulimit -v 2600000; exec \"$0\" --exact \"$1\" --nocapture"]);
        shell.arg(std::env::current_exe().unwrap()).arg(TEST).env(LIMITED, "1");
        return assert_passed(TEST, &shell.output().unwrap());
    }
    // GPU drivers crash if they have too little memory for themselves; see also src/gpu/memory_tests.rs.
    {
        let device = Device::cpu();
        // This starts all threads.
        goes_on(&device);
        let z = device.tensor(&[1.0; 1 << 20], [1 << 20]).unwrap();
        let held = Activation::Sigmoid.forward(&z).unwrap();
        let values = held.to_vec().unwrap();
        let block = || device.zeros([16 << 20]);
        // Takes almost all memory, except for what a read of a block needs.
        let spare = Vec::<u8>::with_capacity(32 << 20);
        let (mut blocks, mut rest) = (Vec::new(), Vec::new());
        let full = loop {
            match block() {
                Ok(block) => blocks.push(block),
                Err(_) => match device.zeros([2 << 20]) {
                    Ok(block) => rest.push(block),
                    Err(error) => break error,
                },
            }
        };
        drop(spare);
        assert!(matches!(full, Error::OutOfMemory { .. }), "{device:?}: {full}");
        println!("{device:?}: {} blocks of 64 MiB, then: {full}", blocks.len());
        for _ in 0..3 {
            // Each may run out of memory; if it does not, its result is right.
            let told = [
                held.to_vec().map(|found| assert_eq!(found, values)),
                pollster::block_on(held.read()).map(|found| assert_eq!(found, values)),
                Activation::Sigmoid.forward(&z).map(drop),
                z.write(&[1.0; 1 << 20]),
                blocks[0].to_vec().map(drop),
                device.synchronize(),
            ];
            for error in told.into_iter().filter_map(wgrad::Result::err) {
                assert!(matches!(error, Error::OutOfMemory { .. }), "{device:?}: {error}");
            }
        }
        drop(rest);
        // Now only the pool has memory.
        let count = blocks.len();
        blocks.truncate(count / 2);
        assert!(device.memory().pooled_bytes > 1 << 20, "{device:?}: {}", device.memory());
        assert_eq!(blocks[0].to_vec().unwrap().len(), 16 << 20);
        let step = Activation::Sigmoid.forward(&z).unwrap();
        assert_eq!(step.to_vec().unwrap(), values);
        drop(blocks);
        goes_on(&device);
        device.synchronize().unwrap();
        assert_eq!(Activation::Sigmoid.forward(&z).unwrap().to_vec().unwrap(), values);
    }
}

/// Runs the tasks on a single-threaded executor with a timer; returns the number of its ticks and the time.
fn ticks_while(
    tasks: Vec<std::pin::Pin<Box<dyn Future<Output = ()>>>>,
    period: Duration,
) -> (usize, Duration) {
    let waker = Waker::noop();
    let mut context = Context::from_waker(waker);
    let mut tasks = tasks;
    let (start, mut ticks) = (Instant::now(), 0);
    while !tasks.is_empty() {
        tasks.retain_mut(|task| task.as_mut().poll(&mut context).is_pending());
        if start.elapsed() >= period * (ticks as u32 + 1) {
            ticks += 1;
        }
    }
    (ticks, start.elapsed())
}

#[test]
fn a_loop_of_reads_leaves_other_tasks_their_turn() {
    for device in common::adapters().iter().chain([common::cpu()]) {
        let z = device.tensor(&[-1.0, 2.0], [2]).unwrap();
        let requests = std::rc::Rc::new(std::cell::Cell::new(0));
        let (counter, until) = (requests.clone(), Instant::now() + Duration::from_millis(500));
        let task = async move {
            while Instant::now() < until {
                let y = Activation::Relu.forward(&z).unwrap();
                assert_eq!(y.read().await.unwrap(), [0.0, 2.0]);
                counter.set(counter.get() + 1);
            }
        };
        let (ticks, time) = ticks_while(vec![Box::pin(task)], Duration::from_millis(5));
        println!("{device:?}: {} requests, {ticks} ticks in {time:?}", requests.get());
        assert!(requests.get() > 0 && ticks >= 20, "{device:?}: {ticks} ticks in {time:?}");
    }
    // Also if there is nothing to read, or if reading fails.
    for device in common::adapters().iter().chain([common::cpu()]) {
        let empty = device.zeros([0]).unwrap();
        let mut read = Box::pin(empty.read());
        assert!(poll_once(&mut read).is_pending(), "{device:?}");
        assert!(matches!(poll_once(&mut read), Poll::Ready(Ok(values)) if values.is_empty()));
    }
}

#[test]
fn kernels_are_compiled_ahead_without_blocking() {
    for shared in common::adapters().iter().chain([common::cpu()]) {
        let device = Device::open(shared.info()).unwrap();
        assert!(pollster::block_on(device.prepare()).is_ok());
        let z = device.tensor(&[1.0; 640], [10, 64]).unwrap();
        let before = device.counters();
        let step = || {
            OutputLayer::new(Activation::Tanh, Loss::Mse).gradients(
                &z,
                &z.reshape([64, 10])?,
                None,
                &device.zeros([10, 10])?,
            )
        };
        let first = step().unwrap();
        let start = Instant::now();
        let mut preparation = Box::pin(device.prepare());
        let polled = poll_once(&mut preparation);
        let took = start.elapsed();
        if polled.is_pending() {
            pollster::block_on(preparation).unwrap();
        }
        println!("{device:?}: polled in {took:?}, prepared in {:?}", start.elapsed());
        assert!(took < Duration::from_millis(50), "{device:?}: {took:?}");
        let counters = device.counters();
        assert_eq!(counters.submissions, before.submissions, "{device:?}");
        let start = Instant::now();
        device.flush().unwrap();
        println!("flushed in {:?}", start.elapsed());
        assert_eq!(first.dw.to_vec().unwrap(), step().unwrap().dw.to_vec().unwrap());
        assert_eq!(device.counters().pipelines, counters.pipelines, "{device:?}");
        if device.info().kind.is_gpu() {
            device.wgpu().unwrap().0.destroy();
            let lost = pollster::block_on(device.prepare()).unwrap_err();
            assert!(matches!(lost, Error::DeviceLost { .. }), "{lost}");
        }
    }
}
