package access

import (
	"maps"
	"slices"
	"strings"
)

// Method is what a method of the API takes and what it is.
type Method struct {
	// Role is the least that may call it.
	Role Role
	// Changes: it goes to the audit log.
	Changes bool
	// Long: it may run for hours, as it works through a whole ledger.
	Long bool
	// Stream: the client or the server may send many messages. It is not bounded
	// in time, but in number.
	Stream bool
}

func asks(r Role) Method    { return Method{Role: r} }
func changes(r Role) Method { return Method{Role: r, Changes: true} }

func (m Method) long() Method {
	m.Long = true
	return m
}

func (m Method) stream() Method {
	m.Stream = true
	return m
}

// methods is every method that is served, by its full name. What is not here is
// refused to everyone, and a test fails.
var methods = map[string]Method{
	"penstock.v1.AccessService/WhoAmI":      asks(Read),
	"penstock.v1.AccessService/CreateToken": changes(Admin),
	"penstock.v1.AccessService/ListTokens":  asks(Admin),
	"penstock.v1.AccessService/RevokeToken": changes(Admin),
	"penstock.v1.AccessService/ListAudit":   asks(Admin),

	"penstock.v1.CampaignService/StartCampaign":  changes(Operate),
	"penstock.v1.CampaignService/ListCampaigns":  asks(Read),
	"penstock.v1.CampaignService/GetCampaign":    asks(Read),
	"penstock.v1.CampaignService/WatchCampaign":  asks(Read).stream(),
	"penstock.v1.CampaignService/PauseCampaign":  changes(Operate),
	"penstock.v1.CampaignService/ResumeCampaign": changes(Operate),
	"penstock.v1.CampaignService/CancelCampaign": changes(Operate),
	"penstock.v1.CampaignService/CloneCampaign":  changes(Operate).long(),
	"penstock.v1.CampaignService/DeleteCampaign": changes(Operate),
	"penstock.v1.CampaignService/GetReport":      asks(Read).long(),
	"penstock.v1.CampaignService/GetRecipient":   asks(Read),
	"penstock.v1.CampaignService/FindRecipient":  asks(Read),
	"penstock.v1.CampaignService/ListOutcomes":   asks(Read).stream(),
	"penstock.v1.CampaignService/ListRejects":    asks(Read).stream(),

	"penstock.v1.IntakeService/CreateCampaign":   changes(Operate),
	"penstock.v1.IntakeService/AppendRecipients": changes(Operate),
	"penstock.v1.IntakeService/UploadRecipients": changes(Operate).stream(),
	"penstock.v1.IntakeService/GetIntake":        asks(Read),
	"penstock.v1.IntakeService/DropIntake":       changes(Operate),

	"penstock.v1.EventService/StreamEvents": asks(Read).stream(),

	"penstock.v1.ServerService/Verify":     asks(Operate).long(),
	"penstock.v1.ServerService/Backup":     changes(Admin).long(), // it writes where the caller says
	"penstock.v1.ServerService/PauseAll":   changes(Operate),
	"penstock.v1.ServerService/ResumeAll":  changes(Operate),
	"penstock.v1.ServerService/ListPauses": asks(Read),
	"penstock.v1.ServerService/GetInfo":    asks(Read),
	"penstock.v1.ServerService/GetConfig":  asks(Operate),
	"penstock.v1.ServerService/Reload":     changes(Admin),
	"penstock.v1.ServerService/Drain":      changes(Admin),

	"penstock.v1.SiteService/ListSites": asks(Read),
	"penstock.v1.SiteService/GetSite":   asks(Read),

	"penstock.v1.ForecastService/GetForecast": asks(Read),
	"penstock.v1.SiteService/PauseSite":       changes(Operate),
	"penstock.v1.SiteService/ResumeSite":      changes(Operate),
	"penstock.v1.SiteService/SetSiteLimits":   changes(Operate),
	"penstock.v1.SiteService/FlushSite":       changes(Operate),
	"penstock.v1.SiteService/ForgetSite":      changes(Operate),

	"penstock.v1.SourceService/ListSources":     asks(Read),
	"penstock.v1.SourceService/GetSource":       asks(Read),
	"penstock.v1.SourceService/PauseSource":     changes(Operate),
	"penstock.v1.SourceService/ResumeSource":    changes(Operate),
	"penstock.v1.SourceService/SetSourceLimits": changes(Operate),
	"penstock.v1.SourceService/FlushSource":     changes(Operate),
	"penstock.v1.SourceService/ForgetSource":    changes(Operate),

	// What is said can be read in it: addresses, and contents if asked for.
	"penstock.v1.TraceService/Trace": asks(Operate).stream(),

	"grpc.health.v1.Health/Check": asks(Read),
	"grpc.health.v1.Health/Watch": asks(Read).stream(),

	"grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      asks(Read).stream(),
	"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": asks(Read).stream(),
}

// pages is what is served beside the API, by path; one that ends in / stands for
// all below it.
var pages = map[string]Role{
	"/metrics":      Read,
	"/healthz":      Read,
	"/readyz":       Read,
	"/debug/pprof/": Admin,
}

// Methods are the full names of all methods, such as
// penstock.v1.SiteService/ListSites, in order.
func Methods() []string { return slices.Sorted(maps.Keys(methods)) }

// At is what a request takes by its path, a method's or a page's, compared octet
// by octet: there is no second way to write one. ok is false where nothing is
// served.
func At(path string) (m Method, ok bool) {
	name, absolute := strings.CutPrefix(path, "/")
	if m, ok := methods[name]; ok && absolute {
		return m, true
	}
	if r, ok := pages[path]; ok {
		return asks(r), true
	}
	for page, r := range pages {
		if strings.HasSuffix(page, "/") && strings.HasPrefix(path, page) {
			return asks(r).stream(), true // a profile takes as long as it is told to
		}
	}
	return Method{}, false
}
