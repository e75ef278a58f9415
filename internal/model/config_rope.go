package model

import (
	"fmt"
	"math"

	"concord/tensor"
)

// fileRope mirrors rope_scaling and rope_parameters. Gemma 3's has one for each
// kind of layer.
type fileRope struct {
	RopeType *string  `json:"rope_type"`
	Type     *string  `json:"type"` // the older spelling
	Theta    *float64 `json:"rope_theta"`
	Factor   float64  `json:"factor"`
	Low      float64  `json:"low_freq_factor"`
	High     float64  `json:"high_freq_factor"`
	Original *float64 `json:"original_max_position_embeddings"`
	Fast     *float64 `json:"beta_fast"`
	Slow     *float64 `json:"beta_slow"`
	MScale   *float64 `json:"mscale"`
	MAll     *float64 `json:"mscale_all_dim"`
	Scale    *float64 `json:"attention_factor"`
	Truncate *bool    `json:"truncate"`
	Partial  *float64 `json:"partial_rotary_factor"`

	Full    *fileRope `json:"full_attention"`
	Sliding *fileRope `json:"sliding_attention"`
}

// ropeType is the kind of scaling, "" for none.
func (f *fileConfig) ropeType() string {
	for _, r := range []*fileRope{f.RopeParameters, f.RopeScaling} {
		if r != nil {
			return or(r.RopeType, or(r.Type, ""))
		}
	}
	return ""
}

// readRope sets c's rotary settings from the keys of both generations. When both
// are present they must agree.
func (f *fileConfig) readRope(c *Config, family family) error {
	p, local := f.RopeParameters, (*fileRope)(nil)
	if p != nil && (p.Full != nil || p.Sliding != nil) {
		if !family.localRope {
			return fmt.Errorf("rope_parameters by kind of layer are not supported in a %s model", f.ModelType)
		}
		p, local = p.Full, p.Sliding
	}
	if err := f.readTheta(c, family, p); err != nil {
		return err
	}
	if err := f.readScaling(c, p); err != nil {
		return err
	}
	if family.localRope {
		if err := f.readLocal(c, local); err != nil {
			return err
		}
	}
	return f.readPartial(c, p)
}

func (f *fileConfig) readTheta(c *Config, family family, p *fileRope) error {
	absent := 10000.0
	if family.theta > 0 {
		absent = family.theta
	}
	c.RopeTheta = or(f.RopeTheta, absent)
	if p != nil && p.Theta != nil {
		if f.RopeTheta != nil && *p.Theta != *f.RopeTheta {
			return fmt.Errorf("rope_parameters.rope_theta %v and rope_theta %v disagree", *p.Theta, *f.RopeTheta)
		}
		c.RopeTheta = *p.Theta
	}
	if !(c.RopeTheta > 0) || math.IsInf(c.RopeTheta, 0) {
		return fmt.Errorf("rope_theta %v must be positive", c.RopeTheta)
	}
	return nil
}

func (f *fileConfig) readScaling(c *Config, p *fileRope) error {
	if f.RopeScaling != nil {
		c.RopeScaling = f.RopeScaling.scaling(c.MaxPositions)
	}
	if p != nil {
		s := p.scaling(c.MaxPositions)
		if f.RopeScaling != nil && s != c.RopeScaling {
			return fmt.Errorf("rope_parameters %+v and rope_scaling %+v disagree", s, c.RopeScaling)
		}
		c.RopeScaling = s
	}
	if err := c.RopeScaling.Validate(); err != nil {
		return fmt.Errorf("rope_type: %w", err)
	}
	return nil
}

// readLocal sets the rotary base of the layers that slide.
func (f *fileConfig) readLocal(c *Config, local *fileRope) error {
	c.LocalRopeTheta = or(f.LocalTheta, 10000)
	if local != nil {
		if local.scaling(c.MaxPositions) != (tensor.RoPEScaling{}) {
			return fmt.Errorf("rope_parameters.sliding_attention: rope_type %q is not supported: only default is",
				or(local.RopeType, or(local.Type, "")))
		}
		if local.Theta != nil && f.LocalTheta != nil && *local.Theta != *f.LocalTheta {
			return fmt.Errorf("rope_parameters.sliding_attention.rope_theta %v and rope_local_base_freq %v disagree", *local.Theta, *f.LocalTheta)
		}
		c.LocalRopeTheta = or(local.Theta, c.LocalRopeTheta)
	}
	if !(c.LocalRopeTheta > 0) || math.IsInf(c.LocalRopeTheta, 0) {
		return fmt.Errorf("rope_local_base_freq %v must be positive", c.LocalRopeTheta)
	}
	return nil
}

// readPartial sets how much of a head is rotated.
func (f *fileConfig) readPartial(c *Config, p *fileRope) error {
	share := or(f.PartialRotary, 1)
	if p != nil && p.Partial != nil {
		if f.PartialRotary != nil && *p.Partial != *f.PartialRotary {
			return fmt.Errorf("rope_parameters.partial_rotary_factor %v and partial_rotary_factor %v disagree", *p.Partial, *f.PartialRotary)
		}
		share = *p.Partial
	}
	if f.RopeScaling != nil {
		share = or(f.RopeScaling.Partial, share)
	}
	if share == 1 {
		return nil
	}
	c.RotaryDim = int(float64(c.HeadDim) * share)
	if !(share > 0 && share < 1) || c.RotaryDim < 4 || c.RotaryDim%4 != 0 {
		return fmt.Errorf("partial_rotary_factor %v of head_dim %d is not supported: it must rotate a multiple of 4 values", share, c.HeadDim)
	}
	return nil
}

// rotated is how many values of a head are rotated.
func (c Config) rotated() int {
	if c.RotaryDim > 0 {
		return c.RotaryDim
	}
	return c.HeadDim
}

// scaling is r's change of the frequencies, in a model for so many positions.
func (r *fileRope) scaling(positions int) tensor.RoPEScaling {
	kind := or(r.RopeType, or(r.Type, "default"))
	switch kind { // the other fields mean nothing to these
	case "default":
		return tensor.RoPEScaling{}
	case "linear", "dynamic":
		return tensor.RoPEScaling{Type: kind, Factor: r.Factor}
	case "yarn":
		return tensor.RoPEScaling{Type: kind, Factor: r.Factor, OriginalMaxPosition: or(r.Original, float64(positions)),
			BetaFast: or(r.Fast, 0), BetaSlow: or(r.Slow, 0),
			MScale: or(r.MScale, 0), MScaleAll: or(r.MAll, 0), AttentionFactor: or(r.Scale, 0), Untruncated: !or(r.Truncate, true)}
	}
	return tensor.RoPEScaling{Type: kind, Factor: r.Factor, LowFreqFactor: r.Low, HighFreqFactor: r.High,
		OriginalMaxPosition: or(r.Original, float64(positions))}
}

// ropeKeys is s as rope_scaling holds it, nil for none.
func ropeKeys(s tensor.RoPEScaling) map[string]any {
	switch s.Type {
	case "", "default":
		return nil
	}
	out := map[string]any{"rope_type": s.Type, "factor": decimal(s.Factor)}
	put := func(key string, v float64) {
		if v != 0 {
			out[key] = decimal(v)
		}
	}
	put("low_freq_factor", s.LowFreqFactor)
	put("high_freq_factor", s.HighFreqFactor)
	put("beta_fast", s.BetaFast)
	put("beta_slow", s.BetaSlow)
	put("mscale", s.MScale)
	put("mscale_all_dim", s.MScaleAll)
	put("attention_factor", s.AttentionFactor)
	if s.Untruncated {
		out["truncate"] = false
	}
	if s.OriginalMaxPosition != 0 {
		out["original_max_position_embeddings"] = int64(s.OriginalMaxPosition)
	}
	return out
}

// ropeFields spells the rotary settings for both generations of readers, as one
// that misses them silently uses theta 10000.
func (c Config) ropeFields(out []field) []field {
	if c.family().positions {
		return out
	}
	parameters := ropeKeys(c.RopeScaling)
	if parameters == nil {
		parameters = map[string]any{"rope_type": "default"}
	}
	parameters["rope_theta"] = decimal(c.RopeTheta)
	if c.RotaryDim > 0 {
		share := float64(c.RotaryDim) / float64(c.HeadDim)
		out = set(out, "partial_rotary_factor", share, false)
		parameters["partial_rotary_factor"] = share
	}
	out = set(out, "rope_theta", decimal(c.RopeTheta), false)
	out = set(out, "rope_scaling", ropeKeys(c.RopeScaling), false)
	if !c.family().localRope {
		return set(out, "rope_parameters", parameters, false)
	}
	out = set(out, "rope_local_base_freq", decimal(c.LocalRopeTheta), false)
	return set(out, "rope_parameters", map[string]any{fullLayer: parameters,
		slidingLayer: map[string]any{"rope_type": "default", "rope_theta": decimal(c.LocalRopeTheta)}}, false)
}
