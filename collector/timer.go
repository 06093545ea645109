package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"funlab.casa/attestation_exporter/systemd"
)

var (
	timerLoaded = newDesc("timer", "loaded",
		"Whether systemd has loaded the timer's unit file; 0 when the file is missing, masked or wrong.", "timer")
	timerActive = newDesc("timer", "active",
		"Whether the timer is started; 0 also when the service that it starts can't be loaded.", "timer")
	timerLastTrigger = newDesc("timer", "last_trigger_timestamp_seconds",
		"When the timer last elapsed, or for a persistent timer that never did, when it was first started.", "timer")
	timerNextTrigger = newDesc("timer", "next_trigger_timestamp_seconds",
		"When the timer elapses next; absent while its service runs and when nothing is planned.", "timer")
	timerDelayMax = newDesc("timer", "delay_max_seconds",
		"How long after its next trigger the timer may rightly elapse: random delay and accuracy.", "timer")

	timerServiceResultSuccess = newDesc("timer", "service_result_success",
		"Whether the last finished run of the service since boot went well; absent when none finished, and during a run when the result of the one before was not seen.", "timer", "service")
	timerServiceRunning = newDesc("timer", "service_running",
		"Whether a run of the service is in progress.", "timer", "service")
	timerServiceLastStart = newDesc("timer", "service_last_start_timestamp_seconds",
		"When the latest run of the service since boot began.", "timer", "service")
	timerServiceLastExit = newDesc("timer", "service_last_exit_timestamp_seconds",
		"When the latest finished run of the service since boot ended.", "timer", "service")
)

type timerCollector struct {
	read func(ctx context.Context) (systemd.Reading, error)
}

// NewTimer makes the collector of timers and of the services that they start.
func NewTimer(read func(ctx context.Context) (systemd.Reading, error)) Collector {
	return timerCollector{read: read}
}

func (c timerCollector) Update(ctx context.Context, ch chan<- prometheus.Metric) error {
	reading, err := c.read(ctx)
	for _, timer := range reading.Timers {
		timerSend(ch, timer)
	}
	if errors.Is(err, systemd.ErrAbsent) {
		return fmt.Errorf("%w: %w", ErrNoData, err)
	}
	return err
}

func timerSend(ch chan<- prometheus.Metric, timer systemd.Timer) {
	claim(ch, timerLoaded, timer.Loaded(), timer.Name)
	claim(ch, timerActive, timer.Active(), timer.Name)
	moment(ch, timerLastTrigger, timer.LastTrigger, timer.Name)
	moment(ch, timerNextTrigger, timer.NextTrigger, timer.Name)
	if timer.DelayMax != nil {
		gauge(ch, timerDelayMax, timer.DelayMax.Seconds(), timer.Name)
	}
	if timer.Service != nil && timer.Service.Loaded() {
		timerServiceSend(ch, timer.Name, *timer.Service)
	}
}

func timerServiceSend(ch chan<- prometheus.Metric, timer string, service systemd.Service) {
	claim(ch, timerServiceRunning, service.Running(), timer, service.Name)
	if service.Success != nil {
		claim(ch, timerServiceResultSuccess, *service.Success, timer, service.Name)
	}
	moment(ch, timerServiceLastStart, service.LastStart, timer, service.Name)
	moment(ch, timerServiceLastExit, service.LastExit, timer, service.Name)
}
