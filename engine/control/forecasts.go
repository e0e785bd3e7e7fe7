package control

import (
	"context"
	"fmt"
	"slices"

	"connectrpc.com/connect"

	"github.com/penstock-mail/penstock/engine"
	pb "github.com/penstock-mail/penstock/engine/control/penstockv1"
	"github.com/penstock-mail/penstock/engine/forecast"
)

// forecasts implements penstock.v1.ForecastService.
type forecasts struct{ desk *desk }

// Bounds of a list of rows.
const (
	usualRows = 100
	mostRows  = 1000
)

func (s *forecasts) GetForecast(_ context.Context, req *pb.GetForecastRequest) (*pb.GetForecastResponse, error) {
	most := int(req.Limit)
	switch {
	case most == 0:
		most = usualRows
	case most > mostRows:
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("limit is %d, at most %d may be", req.Limit, mostRows))
	}
	e := s.desk.engine
	if e == nil {
		return nil, errNotSending
	}
	if req.CampaignId != "" {
		if _, err := s.desk.ledger.Campaign(req.CampaignId); err != nil {
			return nil, status(err)
		}
	}
	o := e.Outlook()
	var rows []engine.FlowOutlook
	var parts []forecast.Forecast
	for _, f := range o.Flows {
		if (req.CampaignId == "" || f.Campaign == req.CampaignId) && (req.Site == "" || f.Site == req.Site) {
			rows = append(rows, f)
			parts = append(parts, f.Forecast)
		}
	}
	slices.SortStableFunc(rows, func(a, b engine.FlowOutlook) int { return latestFirst(&a.Forecast, &b.Forecast) })
	total := forecast.Sum(parts)
	res := &pb.GetForecastResponse{Time: moment(o.At), Total: forecastOf(&total), RowCount: uint64(len(rows))}
	for _, f := range rows[:min(most, len(rows))] {
		res.Rows = append(res.Rows, &pb.ForecastRow{CampaignId: f.Campaign, Site: f.Site, Forecast: forecastOf(&f.Forecast)})
	}
	return res, nil
}

// latestFirst has what nobody can tell before all others.
func latestFirst(a, b *forecast.Forecast) int {
	switch an, bn := a.FirstPass.IsZero(), b.FirstPass.IsZero(); {
	case an && bn:
		return 0
	case an:
		return -1
	case bn:
		return 1
	}
	if n := b.FirstPass.Compare(a.FirstPass); n != 0 {
		return n
	}
	return b.FinalTo.Compare(a.FinalTo)
}

func forecastOf(f *forecast.Forecast) *pb.Forecast {
	p := &pb.Forecast{
		Pending: f.Pending, Deferred: f.Deferred, Held: f.Held, Rate: f.PerSecond,
		FirstPass: moment(f.FirstPass), FinalFrom: moment(f.FinalFrom), FinalTo: moment(f.FinalTo),
	}
	for _, s := range f.Waits.Shares() {
		p.Waits = append(p.Waits, &pb.Wait{Cause: s.Cause.String(), Share: s.Of})
	}
	return p
}
